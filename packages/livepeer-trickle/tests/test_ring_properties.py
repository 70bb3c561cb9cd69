"""Any interleaving of publishers, readers and ends on the pure ring, against a simple oracle.

The oracle is written from what go-livepeer's server does, and our two rules: a segment that is
evicted before its end is cut, and what comes after an end goes nowhere. Publishers and readers are
what the server's are, without their sockets: they attach, watch, and do their part in a later turn.

`LIVEPEER_EXAMPLES=100` runs a hundred times as many examples, from random seeds.
"""

from __future__ import annotations

import gc
import os
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from livepeer.trickle._ring import Channel, NotHeld, Segment
from livepeer.trickle._wire import CURRENT, NEXT

if TYPE_CHECKING:
    from collections.abc import Generator

EXAMPLES = int(os.environ.get("LIVEPEER_EXAMPLES", "1"))

DEPTHS = st.integers(2, 8)
PICKS = st.integers(0, 99)
RARELY = st.sampled_from([False] * 7 + [True])
CHUNKS = st.binary(min_size=1, max_size=3)


@dataclass(frozen=True)
class FromEdge:
    """A number that is named by its distance from the leading edge."""

    offset: int


Number: TypeAlias = "FromEdge | int"

NEAR: st.SearchStrategy[Number] = st.one_of(
    st.just(FromEdge(0)), st.builds(FromEdge, st.integers(-1, 1)), st.integers(0, 9)
)
ANYWHERE: st.SearchStrategy[Number] = st.one_of(
    NEAR, st.builds(FromEdge, st.integers(-9, 9)), st.sampled_from([10**6, 2**62])
)


@dataclass(eq=False)
class Written:
    """What the oracle knows of one segment."""

    seq: int
    core: weakref.ref[Segment] | None = None
    data: bytearray = field(default_factory=bytearray)
    ended: bool = False
    cut: bool = False
    dropped: bool = False

    def end(self, *, cut: bool = False) -> None:
        if not self.ended:
            self.ended, self.cut = True, cut


class Oracle:
    """A channel as the history of its segments: the latest of congruent numbers is held."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.next = 0
        self.closed = False
        self.history: list[Written] = []

    def number(self, number: Number) -> int:
        if isinstance(number, FromEdge):
            return max(self.next + number.offset, 0)
        if number == CURRENT:
            return self.next - 1 if self.next else 0
        return self.next if number == NEXT else number

    def latest(self, seq: int) -> Written | None:
        congruent = (w for w in reversed(self.history) if (w.seq - seq) % self.depth == 0)
        return next(congruent, None)

    def held(self, seq: int) -> Written | None:
        latest = self.latest(seq)
        return latest if latest and latest.seq == seq and not latest.dropped else None

    def all_held(self) -> list[Written]:
        return [written for written in self.history if self.held(written.seq) is written]

    def attach(self, seq: int) -> Written:
        held = self.held(seq)
        if held:
            return held
        evicted = self.latest(seq)
        if evicted and not evicted.dropped:
            evicted.end(cut=len(evicted.data) > 0)
        self.history.append(Written(seq))
        return self.history[-1]

    def attach_reader(self, seq: int) -> Written | None:
        at_edge = seq == self.next or (seq == 1 and self.next == 0)
        return self.attach(seq) if not self.closed and at_edge else self.held(seq)


@dataclass(eq=False)
class Room:
    """A channel, what the oracle knows of it, and the bytes that came last."""

    channel: Channel
    oracle: Oracle
    moved_at: int

    def meet(self, segment: Segment, written: Written) -> None:
        """The core and the oracle have attached somebody: to the same segment?"""
        written.core = written.core or weakref.ref(segment)
        assert written.core() is segment
        assert segment.seq == written.seq

    def read(self, number: Number) -> tuple[Segment, Written] | None:
        """Attach a reader, or find with the oracle that the segment is not held."""
        asked = number if isinstance(number, int) else self.oracle.number(number)
        written = self.oracle.attach_reader(self.oracle.number(number))
        try:
            segment = self.channel.for_read(asked)
        except NotHeld:
            assert written is None
            return None
        assert written is not None
        self.meet(segment, written)
        return segment, written


class Publisher:
    """One POST: attached when its headers came, and turned away if it has not begun by the end."""

    def __init__(self, room: Room, seq: int) -> None:
        self.room = room
        self.written = room.oracle.attach(room.oracle.number(seq))
        self.segment = room.channel.for_write(seq)
        room.meet(self.segment, self.written)
        self.begun = self.over = False
        self.woken = self.segment.ended
        self.segment.watch(self.wake)

    def wake(self) -> None:
        self.woken = self.woken or self.segment.ended

    def begin(self) -> bool:
        """The first byte of each POST moves the edge, and an end without one; False: turned away.

        The ring does so itself for a segment that has no byte yet.
        """
        if self.segment.ended or self.segment.size:
            self.room.channel.rewind(self.segment)
        self.room.oracle.next = self.segment.seq + 1
        return not self.segment.ended

    def send(self, chunk: bytes, now: int) -> None:
        if not self.begun and not self.begin():
            self.leave()
            return
        self.begun = True
        taken = self.room.channel.write(self.segment, chunk, now)
        self.room.moved_at = now
        assert taken != self.written.ended
        if taken:
            self.written.data += chunk

    def finish(self, now: int) -> None:
        if self.begun or self.begin():
            self.room.channel.finish(self.segment, now)
            self.written.end()
        self.leave()

    def overflow(self) -> None:
        """More than a segment may hold."""
        if self.room.oracle.held(self.written.seq) is self.written:
            self.written.dropped = True
        self.written.end(cut=True)
        self.room.channel.drop(self.segment)
        self.leave()

    def leave(self) -> None:
        """Whether it was done or its connection was cut: nobody else is told."""
        self.over = True
        self.segment.unwatch(self.wake)


class Reader:
    """One GET: a task that sends what is there and sleeps until it is woken.

    Bytes that come while it sleeps are sent from within the publisher's call, unless its
    connection is choked.
    """

    def __init__(self, room: Room, segment: Segment, written: Written) -> None:
        self.room, self.segment, self.written = room, segment, written
        self.got = bytearray()
        self.outcome = ""
        self.choked = self.changed = self.live = self.asleep = False
        self.sent = 0
        self.task = self.run()
        segment.watch(self.wake)

    def wake(self) -> None:
        segment = self.segment
        current = self.sent == len(segment.chunks) - 1
        if self.live and current and not segment.ended and not self.choked:
            self.send()
        else:
            self.changed = True

    def send(self) -> None:
        self.got += self.segment.chunks[self.sent]
        self.sent += 1

    def run(self) -> Generator[None]:
        segment = self.segment
        while not segment.chunks and not segment.ended:
            yield from self.sleep()
        while self.sent < len(segment.chunks) or not segment.ended:
            while self.sent < len(segment.chunks):
                yield
                self.send()
            if not segment.ended:
                self.changed, self.live = False, True
                yield from self.sleep()
                self.live = False
        self.outcome = "cut" if segment.cut and segment.chunks else "whole"

    def sleep(self) -> Generator[None]:
        self.asleep = True
        while not self.changed:
            yield
        self.asleep = self.changed = False

    @property
    def stuck(self) -> bool:
        return self.asleep and not self.changed

    def turn(self) -> None:
        """One step of the task, if there is one to make."""
        if not self.stuck and next(self.task, self) is self:
            self.leave()

    def run_on(self) -> None:
        while not self.stuck and not self.outcome:
            self.turn()

    def leave(self) -> None:
        self.segment.unwatch(self.wake)
        self.task.close()

    def check(self) -> None:
        """A prefix, the whole when it is called whole, and never asleep with something to do."""
        assert self.written.data.startswith(self.got)
        if self.stuck:
            assert not self.written.ended
            assert self.got == self.written.data
        if self.outcome:
            assert self.written.ended
            assert self.got == self.written.data
            assert (self.outcome == "cut") == (self.written.cut and len(self.got) > 0)


class Publishing(RuleBasedStateMachine):
    """Publishers of all kinds on one channel, which may be closed and created anew."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.publishers: list[Publisher] = []
        self.readers: list[Reader] = []
        self.room = Room(Channel("", "", 0), Oracle(5), 0)

    def publisher(self, pick: int) -> Publisher:
        return self.publishers[pick % len(self.publishers)]

    def tick(self) -> int:
        self.now += 1
        return self.now

    def forget_the_gone(self) -> None:
        self.publishers = [publisher for publisher in self.publishers if not publisher.over]
        self.readers = [reader for reader in self.readers if not reader.outcome]

    @initialize(depth=DEPTHS)
    def create(self, depth: int) -> None:
        now = self.tick()
        self.room = Room(Channel("name", "video/MP2T", now, depth), Oracle(depth), now)

    @precondition(lambda self: self.room.oracle.closed)
    @rule(depth=DEPTHS)
    def create_anew(self, depth: int) -> None:
        self.create(depth)

    @precondition(lambda self: not self.room.oracle.closed)
    @rule(
        number=st.one_of(st.just(NEXT), ANYWHERE),
        reset=RARELY,
        chunks=st.lists(CHUNKS, max_size=2),
    )
    def connect(self, number: Number, reset: bool, chunks: list[bytes]) -> None:
        self.attach_publisher(number, reset=reset)
        self.send(-1, chunks)

    def attach_publisher(self, number: Number, *, reset: bool) -> None:
        seq = number if isinstance(number, int) else self.room.oracle.number(number)
        publisher = Publisher(self.room, seq)
        self.publishers.append(publisher)
        if reset:
            self.room.channel.reset(below=publisher.segment.seq)
            for held in self.room.oracle.all_held():
                if held.seq < publisher.written.seq:
                    held.end()

    @precondition(lambda self: not self.room.oracle.closed)
    @rule(number=st.one_of(st.just(NEXT), ANYWHERE), chunks=st.lists(CHUNKS, max_size=3))
    def publish(self, number: Number, chunks: list[bytes]) -> None:
        self.attach_publisher(number, reset=False)
        publisher = self.publishers[-1]
        self.send(-1, chunks)
        if not publisher.over:
            publisher.finish(self.tick())
        self.forget_the_gone()

    @precondition(lambda self: self.publishers)
    @rule(pick=PICKS, chunks=st.lists(CHUNKS, min_size=1, max_size=3))
    def send(self, pick: int, chunks: list[bytes]) -> None:
        publisher = self.publisher(pick)
        for chunk in chunks:
            if not publisher.over:
                publisher.send(chunk, self.tick())
        self.forget_the_gone()

    @precondition(lambda self: self.publishers)
    @rule(pick=PICKS, whole=st.booleans())
    def end(self, pick: int, whole: bool) -> None:
        publisher = self.publisher(pick)
        if whole:
            publisher.finish(self.tick())
        else:
            publisher.leave()
        self.forget_the_gone()

    @precondition(lambda self: any(publisher.begun for publisher in self.publishers))
    @rule(pick=PICKS)
    def overflow(self, pick: int) -> None:
        begun = [publisher for publisher in self.publishers if publisher.begun]
        begun[pick % len(begun)].overflow()
        self.forget_the_gone()

    @rule()
    def all_publishers_turn(self) -> None:
        """Those whose segment ended before their first byte are turned away."""
        for publisher in self.publishers:
            if publisher.woken and not publisher.begun:
                publisher.finish(self.tick())
        self.forget_the_gone()

    @rule(number=ANYWHERE)
    def delete_segment(self, number: Number) -> None:
        seq = self.room.oracle.number(number)
        held = self.room.oracle.held(seq)
        if held:
            held.end()
        assert self.room.channel.finish_held(seq) == (held is not None)

    @precondition(lambda self: not self.room.oracle.closed)
    @rule(really=RARELY)
    def close(self, really: bool) -> None:
        if not really:
            return
        self.room.channel.close()
        self.room.oracle.closed = True
        for held in self.room.oracle.all_held():
            held.end()

    @invariant()
    def the_edge_is_where_the_oracle_has_it(self) -> None:
        channel, oracle = self.room.channel, self.room.oracle
        assert channel.next == oracle.next
        assert channel.closed == oracle.closed
        assert channel.resolve(NEXT) == oracle.next
        assert channel.resolve(CURRENT) == oracle.number(CURRENT)
        assert self.room.moved_at <= channel.written_at <= self.now

    @invariant()
    def the_ring_holds_what_the_oracle_has(self) -> None:
        channel, oracle = self.room.channel, self.room.oracle
        count = 0
        for seq in {written.seq for written in oracle.history}:
            segment, written = channel.held(seq), oracle.held(seq)
            if segment is None or written is None:
                assert segment is None
                assert written is None
                continue
            count += 1
            self.room.meet(segment, written)
            assert (segment.ended, segment.cut) == (written.ended, written.cut)
            assert b"".join(segment.chunks) == written.data
            assert segment.size == len(written.data)
        assert count <= oracle.depth

    @invariant()
    def nothing_is_kept_of_what_is_gone(self) -> None:
        oracle = self.room.oracle
        in_use = {id(somebody.written) for somebody in (*self.publishers, *self.readers)}
        gone = {
            id(written)
            for written in oracle.history
            if id(written) not in in_use and oracle.held(written.seq) is not written
        }
        kept = [
            written.core
            for written in oracle.history
            if id(written) in gone and written.core is not None and written.core() is not None
        ]
        if kept:
            gc.collect()  # what a failure of before, or a tracer, has in a cycle is not ours
        assert all(core() is None for core in kept)
        oracle.history = [
            written
            for written in oracle.history
            if id(written) not in gone or oracle.latest(written.seq) is written
        ]

    @invariant()
    def who_waits_has_something_to_wait_for(self) -> None:
        for publisher in self.publishers:
            assert publisher.woken == publisher.written.ended
        for reader in self.readers:
            reader.check()


class Reading(Publishing):
    """And readers of any segment at any pace."""

    def reader(self, pick: int) -> Reader:
        return self.readers[pick % len(self.readers)]

    @precondition(lambda self: self.publishers)
    @rule(pick=PICKS)
    def subscribe_to_what_is_written(self, pick: int) -> None:
        self.subscribe(self.publisher(pick).segment.seq, go_on=False)

    @rule(number=st.one_of(st.sampled_from([NEXT, CURRENT]), ANYWHERE), go_on=st.booleans())
    def subscribe(self, number: Number, go_on: bool) -> None:
        attached = self.room.read(number)
        if attached is None and go_on and not self.room.oracle.closed:
            # Who is told that it is not held is told the edge, and that one is there.
            attached = self.room.read(self.room.channel.next)
            assert attached is not None
        if attached is not None:
            self.readers.append(Reader(self.room, *attached))

    @precondition(lambda self: self.readers)
    @rule(pick=PICKS, choked=st.booleans(), on=st.booleans())
    def turn(self, pick: int, choked: bool, on: bool) -> None:
        reader = self.reader(pick)
        reader.choked = choked
        if on:
            reader.run_on()
        else:
            reader.turn()
        reader.check()
        self.forget_the_gone()

    @rule(choked=st.booleans())
    def all_readers_turn(self, choked: bool) -> None:
        for reader in self.readers:
            reader.choked = choked
            reader.run_on()
        self.who_waits_has_something_to_wait_for()
        self.forget_the_gone()

    @precondition(lambda self: self.readers)
    @rule(pick=PICKS)
    def go_away(self, pick: int) -> None:
        reader = self.reader(pick)
        reader.leave()
        self.readers.remove(reader)

    @precondition(lambda self: self.room.oracle.closed)
    @rule()
    def all_end_with_the_channel(self) -> None:
        for reader in self.readers:
            if reader.room is self.room:
                reader.run_on()
                assert reader.outcome
                reader.check()
        self.forget_the_gone()


class Follower:
    """A subscriber by its rules: the next segment is asked for when one is handed out.

    Not held and the edge is ahead: there, with a gap. The edge is behind: wait, and if it moves and
    is still behind, somebody publishes anew: there, unless the user asked for what is ahead.
    """

    def __init__(self, start: int) -> None:
        self.wanted = start
        self.expected = start if start >= 0 else None
        self.behind: int | None = None
        self.led_on = False
        """Whether it wants what it was led to, and not what its user asked for."""
        self.gap = self.jumps = 0
        self.jumped_back = False
        self.ahead: Reader | None = None
        self.current: Reader | None = None
        self.over = False
        self.seqs: list[int] = []

    def ask(self, room: Room) -> None:
        """One GET, if none stands; the answer may be where to go on."""
        if self.ahead or self.over:
            return
        if room.oracle.closed:
            self.over = True
            return
        # Who is led on and on is too slow for what it is told; the server knows the edge.
        attached = room.read(NEXT if self.jumps > 1 else self.wanted)
        if attached:
            self.ahead = Reader(room, *attached)
            self.note_where(attached[0].seq)
            return
        latest = room.channel.next
        moved = self.behind is not None and self.behind < latest < self.wanted
        if latest > self.wanted or (moved and self.led_on):
            self.note_where(latest)
            self.wanted, self.led_on, self.behind = latest, True, None
            self.jumps += 1
        else:
            self.behind = latest

    def note_where(self, seq: int) -> None:
        """It goes on there: with a gap, or where the channel has begun anew."""
        if seq < self.wanted:
            self.jumped_back, self.gap = True, 0
        elif self.wanted >= 0:
            self.gap += seq - self.wanted

    def turn(self, room: Room) -> None:
        """Read on; at the end of a segment take the next, if it has begun."""
        self.ask(room)
        if self.current:
            self.current.run_on()
            self.current.check()
            if not self.current.outcome:
                return
            self.current = None
        if not self.ahead:
            return
        self.ahead.run_on()
        self.ahead.check()
        if self.ahead.outcome == "whole" and not self.ahead.got and self.ahead.room.oracle.closed:
            self.over = True
        elif self.ahead.outcome or self.ahead.got:
            self.take(self.ahead, room)

    def take(self, segment: Reader, room: Room) -> None:
        seq = segment.segment.seq
        if self.jumped_back:
            assert self.gap <= seq
        elif self.expected is not None:
            assert self.gap == seq - self.expected
        self.current, self.ahead = segment, None
        self.seqs.append(seq)
        self.wanted = self.expected = seq + 1
        self.led_on = True
        self.gap, self.jumps, self.behind, self.jumped_back = 0, 0, None, False
        self.ask(room)

    def readers(self) -> list[Reader]:
        return [reader for reader in (self.current, self.ahead) if reader]


class Following(Publishing):
    """And subscribers that follow the channel, which may be deep in the past or the future."""

    def __init__(self) -> None:
        super().__init__()
        self.followers: list[Follower] = []

    def forget_the_gone(self) -> None:
        super().forget_the_gone()
        for follower in self.followers:
            if follower.over:
                for reader in follower.readers():
                    reader.leave()
        self.followers = [follower for follower in self.followers if not follower.over]
        self.readers = [reader for follower in self.followers for reader in follower.readers()]

    @precondition(lambda self: not self.room.oracle.closed)
    @rule(start=st.one_of(st.integers(0, 2), st.sampled_from([NEXT, CURRENT]), st.integers(0, 20)))
    def follow(self, start: int) -> None:
        follower = Follower(start)
        follower.ask(self.room)
        self.followers.append(follower)
        self.forget_the_gone()

    @precondition(lambda self: self.followers)
    @rule(pick=PICKS, turns=st.integers(1, 12))
    def turn(self, pick: int, turns: int) -> None:
        for _ in range(turns):
            self.followers[pick % len(self.followers)].turn(self.room)
        self.forget_the_gone()

    @precondition(lambda self: not self.room.oracle.closed)
    @rule()
    def a_publisher_that_goes_on_is_followed_by_all(self) -> None:
        """Whatever was before: nobody is left behind, or in silence."""
        for n in range(self.room.oracle.depth + 4):
            self.publish_on(n)
            for _ in range(4):
                self.all_followers_turn()
        for follower in self.followers:
            if follower.led_on or follower.wanted < self.room.channel.next:
                assert follower.seqs[-1:] == [self.room.channel.next - 1]

    @precondition(lambda self: not self.room.oracle.closed and self.followers)
    @rule(pause=st.integers(1, 10))
    def one_that_is_too_fast_is_followed_with_gaps(self, pause: int) -> None:
        first = self.room.channel.next
        for n in range(40 + 8 * pause):
            self.publish_on(n)
            if n % pause == 0:
                self.all_followers_turn()
        for follower in self.followers:
            if follower.led_on or follower.wanted < first:
                assert max(follower.seqs, default=-1) >= first

    def publish_on(self, n: int) -> None:
        self.attach_publisher(NEXT, reset=n == 0)
        self.publishers[-1].send(b"%d" % n, self.tick())
        self.publishers[-1].finish(self.tick())

    def all_followers_turn(self) -> None:
        for follower in self.followers:
            follower.turn(self.room)
        self.forget_the_gone()


def profile(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples * EXAMPLES,
        stateful_step_count=steps,
        derandomize=EXAMPLES == 1,
        deadline=None,
    )


class TestReading(Reading.TestCase):
    settings = profile(300, 50)


class TestFollowing(Following.TestCase):
    settings = profile(250, 40)
