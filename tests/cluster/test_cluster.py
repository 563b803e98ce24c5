"""Site settings, files that travel, tasks with retries; on a local Ray cluster under slow."""

import sys

import pytest

from venom_hw.cluster import (
    ClusterError,
    collect_files,
    connect,
    place_files,
    read_env,
    run_tasks,
    stage_sources,
)
from venom_hw.cluster.env_file import setting
from venom_hw.cluster.session import ray_module


def test_env_file_has_names_comments_and_quotes(tmp_path):
    path = tmp_path / ".env"
    path.write_text("# site\n\nexport A=ray://h:1 # head\nB = 'two words'\nC=\nD=\"x#y\"\nE=$(rm -rf /)\n")
    assert read_env(path) == {"A": "ray://h:1", "B": "two words", "C": "", "D": "x#y", "E": "$(rm -rf /)"}
    assert read_env(tmp_path / "absent") == {}


@pytest.mark.parametrize(
    "text, message", [("A B\n", "line 1"), ("A=1\nB='x\n", "line 2.*closing"), ("A='\n", "closing")]
)
def test_env_file_that_cannot_be_read_says_where(tmp_path, text, message):
    path = tmp_path / ".env"
    path.write_text(text)
    with pytest.raises(ClusterError, match=message):
        read_env(path)


def test_command_line_wins_over_environment_over_file(monkeypatch):
    monkeypatch.delenv("VENOM_DATA_ROOT", raising=False)
    assert setting("VENOM_DATA_ROOT", None, {"VENOM_DATA_ROOT": "file"}) == "file"
    assert setting("VENOM_DATA_ROOT", None, {}) == ""
    monkeypatch.setenv("VENOM_DATA_ROOT", "environment")
    assert setting("VENOM_DATA_ROOT", None, {"VENOM_DATA_ROOT": "file"}) == "environment"
    assert setting("VENOM_DATA_ROOT", "option", {"VENOM_DATA_ROOT": "file"}) == "option"
    assert setting("VENOM_DATA_ROOT", "", {"VENOM_DATA_ROOT": "file"}) == ""


def test_sources_travel_without_data_and_weights(tmp_path):
    folder = stage_sources(tmp_path)
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {"venom_hw/__init__.py", "venom_hw/train/loop.py", "venom_hw/model/scan_kernel.cpp"} <= names
    assert not [n for n in names if n.endswith((".npz", ".safetensors", ".zip", ".pyc", ".so"))]
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 20e6


def test_files_come_back_and_stay_inside(tmp_path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "x").write_bytes(b"1")
    (tmp_path / "a" / "link").symlink_to("/etc/hostname")
    files = collect_files(tmp_path / "a")
    assert files == {"deep/x": b"1"}
    place_files(tmp_path / "b", files)
    assert (tmp_path / "b" / "deep" / "x").read_bytes() == b"1"
    for bad in ("../x", "/x", "a/../../x", "a\\b"):
        with pytest.raises(ClusterError, match="inside"):
            place_files(tmp_path / "b", {bad: b""})


def flaky(path, failures):
    """Raises in its first `failures` calls, which it counts in a file."""
    with open(path, "a") as file:
        file.write("x")
    if len(open(path).read()) <= failures:
        raise ValueError("first line\nnot yet")
    return "done"


def check_retries(session, tmp_path):
    tasks = [(str(tmp_path / "never"), 0), (str(tmp_path / "once"), 1), (str(tmp_path / "always"), 99)]
    outcomes = sorted(run_tasks(session, flaky, tasks, retries=1), key=lambda o: o.index)
    assert [o.value for o in outcomes] == ["done", "done", None]
    assert [o.attempts for o in outcomes] == [1, 2, 2]
    assert outcomes[2].error == "ValueError: not yet" and not outcomes[0].error


def test_tasks_are_tried_again_here(tmp_path):
    check_retries(None, tmp_path)


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install -e '\.\[ray\]'.*--no-ray"):
        ray_module()


def test_ray_client_without_its_packages_is_said(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ClusterError, match=r"ray\[client\]"), connect("ray://nowhere:10001"):
        pass


def die_once(path):
    """Kills its own process the first time."""
    import os

    if not os.path.exists(path):
        open(path, "w").close()
        os._exit(1)
    return os.environ["VENOM_BACKEND"]


@pytest.mark.slow
def test_on_a_local_cluster_tasks_are_tried_again_and_dead_workers_replaced(tmp_path):
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test file
    with connect(cpus=2) as session:
        assert session.local
        check_retries(session, tmp_path)
        (outcome,) = run_tasks(session, die_once, [(str(tmp_path / "died"),)], retries=1)
        assert outcome.value == "torch" and outcome.attempts == 2
