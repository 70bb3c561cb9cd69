"""The hosted workflows: pinned actions, each Python, least rights, and a gate that sees all."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob(".github/workflows/*.yml"))
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PACKAGES = sorted(path.name for path in ROOT.glob("packages/*"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

Table: TypeAlias = "dict[str, object]"


def table(value: object) -> Table:
    assert isinstance(value, dict), value
    # YAML 1.1 reads the key `on` as a boolean.
    read = cast("dict[object, object]", value)
    return {("on" if key is True else str(key)): entry for key, entry in read.items()}


def workflow(name: str) -> Table:
    return table(yaml.safe_load((ROOT / ".github/workflows" / name).read_text()))


def jobs(name: str) -> dict[str, Table]:
    return {job: table(entry) for job, entry in table(workflow(name)["jobs"]).items()}


def steps(job: Table) -> Iterator[Table]:
    listed = job["steps"]
    assert isinstance(listed, list)
    yield from map(table, cast("list[object]", listed))


def matrix(job: Table) -> Table:
    return table(table(job["strategy"])["matrix"])


def test_there_are_workflows() -> None:
    assert [path.name for path in FILES] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned_by_digest_and_say_their_version(path: Path) -> None:
    uses = [line.strip() for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line.removeprefix("- "))] == []
    in_steps = [step["uses"] for job in jobs(path.name).values() for step in steps(job)
                if "uses" in step]  # fmt: skip
    assert len(in_steps) == len(uses)


def test_an_action_has_one_version_everywhere() -> None:
    pins = {
        str(step["uses"])
        for path in FILES
        for job in jobs(path.name).values()
        for step in steps(job)
        if "uses" in step
    }
    assert len(pins) == len({pin.split("@")[0] for pin in pins}), sorted(pins)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rights_are_least_and_jobs_end(path: Path) -> None:
    assert workflow(path.name)["permissions"] == {"contents": "read"}
    for name, job in jobs(path.name).items():
        assert isinstance(job["timeout-minutes"], int), name
        rights = table(job.get("permissions", {}))
        assert set(rights) <= {"contents", "id-token", "pull-requests"}
        for step in steps(job):
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert table(step["with"])["persist-credentials"] is False, name
            # A value of the event's, pasted into a script, is a way in; through `env` it is text.
            assert "${{" not in str(step.get("run", "")), name


@pytest.mark.parametrize("job", ["types", "unit", "integration"])
def test_matrix_has_each_python(job: str) -> None:
    assert matrix(jobs("ci.yml")[job])["python"] == PYTHONS


def test_matrix_is_what_the_packages_declare() -> None:
    for package in PACKAGES:
        text = (ROOT / "packages" / package / "pyproject.toml").read_text()
        classifiers = tomllib.loads(text)["project"]["classifiers"]
        declared = [c.rsplit(" ", 1)[1] for c in classifiers if re.search(r":: 3\.\d+$", c)]
        assert declared == PYTHONS, package


def test_one_unit_matrix_serves_the_packages_that_changed() -> None:
    ci = jobs("ci.yml")
    assert matrix(ci["unit"])["package"] == "${{ fromJSON(needs.changes.outputs.packages) }}"
    filters = {
        str(step["id"]): table(yaml.safe_load(str(table(step["with"])["filters"])))
        for step in steps(ci["changes"])
        if "id" in step
    }
    assert sorted(filters["packages"]) == PACKAGES
    trickle = filters["packages"]["livepeer-trickle"]
    for package in PACKAGES:
        patterns = cast("list[object]", filters["packages"][package])
        assert f"packages/{package}/**" in patterns
        assert patterns is trickle or trickle in patterns, "what reaches trickle reaches all"
    for outputs in cast("Table", ci["changes"]["outputs"]).values():
        step, output = re.findall(r"steps\.(\w+)\.outputs\.(\w+)", str(outputs))[0]
        assert output == "changes" or output in filters[step]


def test_gate_needs_every_other_job_and_looks_at_each() -> None:
    ci = jobs("ci.yml")
    gate = ci["gate"]
    assert sorted(cast("list[str]", gate["needs"])) == sorted(set(ci) - {"gate"})
    assert gate["if"] == "${{ always() }}"
    (step,) = steps(gate)
    assert table(step["env"])["RESULTS"] == "${{ join(needs.*.result, ' ') }}"


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ("success success", 0),
        ("success skipped", 0),
        ("success failure skipped", 1),
        ("cancelled success", 1),
    ],
)
def test_gate_fails_unless_all_succeeded_or_were_left_out(results: str, status: int) -> None:
    (step,) = steps(jobs("ci.yml")["gate"])
    ended = subprocess.run(
        ["bash", "-e", "-c", str(step["run"])],
        env={"RESULTS": results},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == status


def test_lowest_versions_are_tested_on_the_lowest_python() -> None:
    commands = [str(step.get("run", "")) for step in steps(jobs("ci.yml")["lowest"])]
    assert any("--resolution lowest-direct" in command for command in commands)
    setup = [table(step["with"]) for step in steps(jobs("ci.yml")["lowest"]) if "with" in step]
    assert {w["python-version"] for w in setup if "python-version" in w} == {PYTHONS[0]}


def test_release_publishes_each_package_by_its_own_tag_without_a_token() -> None:
    tags = table(table(workflow("release.yml")["on"])["push"])["tags"]
    assert sorted(cast("list[str]", tags)) == [f"{package}-v*" for package in PACKAGES]
    release = jobs("release.yml")
    assert release["publish"]["permissions"] == {"id-token": "write"}
    assert release["publish"]["environment"] == "pypi"
    assert release["publish"]["needs"] == "build"
    assert "permissions" not in release["build"], "what builds may not publish"
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text()
