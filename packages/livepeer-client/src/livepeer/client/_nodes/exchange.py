"""One signed and perhaps paid request, and the moves that mend a refusal, each made once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from livepeer.client._answers.refusals import Move, Refusal, credit
from livepeer.client._wire.encoding import JOB
from livepeer.client.errors import ClientError, NodeUnreachable, PaymentRequiredError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from livepeer.client._sign.signing import Signer
    from livepeer.client._wire.jobs import Scheme, SignedJob

    from .purse import Purse


A = TypeVar("A")


@dataclass(slots=True)
class Success(Generic[A]):
    """An answer that is a success.

    Attributes:
        answer: It.
        headers: Its headers, which tell the balance.
    """

    answer: A
    headers: Mapping[str, str]


class Exchange(Generic[A]):
    """Sends a job until it is answered, or no move is left.

    Args:
        signed: The job.
        signer: Signs it by the other scheme where that is wanted.
        purse: What pays for it and holds the payment that goes with it; None for a job that
            carries none.
        send: Sends it with the headers given, to which it may add its own.
        cut_refuses: A connection that is cut before the answer means that the payment was
            refused, if it did not raise the credit. Else that is left to the caller.

    Attributes:
        learnt: The scheme that the orchestrator takes, where it refused the one of the job.
    """

    def __init__(
        self,
        signed: SignedJob,
        *,
        signer: Signer,
        purse: Purse | None,
        send: Callable[[dict[str, str]], Awaitable[Success[A] | Refusal]],
        cut_refuses: bool = True,
    ) -> None:
        self.learnt: Scheme | None = None
        self._signed = signed
        self._signer = signer
        self._purse = purse
        self._send = send
        self._cut_refuses = cut_refuses
        self._left = {Move.PAY, Move.RESIGN}
        # What the last sending ended with, where it may have begun the job.
        self._cut: NodeUnreachable | None = None

    async def run(self) -> A:
        """Send, and mend what can be mended.

        Raises:
            ClientError: What is left in the end.
        """
        try:
            while True:
                outcome = await self._sent()
                if isinstance(outcome, Success):
                    if self._purse is not None and self._purse.full:
                        self._purse.accepted(credit(outcome.headers))
                    return outcome.answer
                await self._mend(outcome)
        except BaseException:
            # Whatever was not told yet: nobody knows what became of the payment.
            if self._purse is not None:
                self._purse.lost()
            raise

    async def _sent(self) -> Success[A] | Refusal:
        self._cut = None
        headers = {JOB: self._signed.header()}
        paid = self._purse is not None and self._purse.full
        if self._purse is not None:
            headers.update(self._purse.headers)
        try:
            return await self._send(headers)
        except NodeUnreachable as error:
            if not (error.connected and paid and self._cut_refuses):
                raise
            self._cut = error
            # A released orchestrator fails over a payment that it does not like.
            rejected = PaymentRequiredError(
                "the connection was closed without an answer, which is how orchestrators refuse"
                " a payment",
                url=error.url,
            )
            rejected.__cause__ = error
            return Refusal(error=rejected, move=Move.PAY)

    async def _mend(self, refusal: Refusal) -> None:
        move = refusal.move
        if move not in self._left:
            self._settle(refusal)
            raise refusal.error
        self._left.discard(move)
        if move is Move.RESIGN:
            await self._resign(refusal)
        else:
            await self._pay(refusal)

    def _settle(self, refusal: Refusal) -> None:
        if refusal.move is Move.RESIGN:
            self.learnt = None
        elif self._purse is not None and refusal.move is Move.PAY:
            self._purse.refused()
        elif self._purse is not None and refusal.balance is not None:
            # The orchestrator tells the credit of jobs that it admitted; the runner refused.
            self._purse.accepted(refusal.balance)

    async def _resign(self, refusal: Refusal) -> None:
        """Sign by the other scheme. The payment was not looked at; it goes along again."""
        others: list[Scheme] = [
            each for each in self._signer.schemes if each != self._signed.scheme
        ]
        if not others:
            raise refusal.error
        self._signed = await self._signer.sign_job(self._signed.job, others[0])
        self.learnt = self._signed.scheme

    async def _pay(self, refusal: Refusal) -> None:
        purse = self._purse
        if purse is None:
            raise refusal.error
        if self._cut is not None:
            await self._check_cut(purse, self._cut)
        purse.refused()
        # When nothing is owed any more, another call paid.
        if not await purse.fill(anew=self._cut is None) and not purse.priced:
            raise refusal.error

    async def _check_cut(self, purse: Purse, cut: NodeUnreachable) -> None:
        """Go on only if the payment did not arrive: else the job was admitted, and may run."""
        try:
            arrived = await purse.arrived()
        except ClientError as error:
            raise cut from error
        if arrived:
            purse.accepted(None)
            raise cut
