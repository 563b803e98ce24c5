"""The launcher of one remote training: names, flags, data root, files fetched; on a local Ray cluster under slow."""

import tomllib

import pytest

from tests.train_array.conftest import write_toy_folder
from venom_hw import remote_train
from venom_hw.cluster import ClusterError
from venom_hw.model import load_checkpoint

FLAGS = [
    "--data",
    "PtSiData",
    "--epochs",
    "1",
    "--batch",
    "16",
    "--set",
    "d_model=8",
    "d_state=4",
    "d_head_hidden=8",
    "peak_sigma=0",
]


@pytest.fixture()
def data_root(tmp_path):
    write_toy_folder(tmp_path / "root" / "PtSiData", 0)
    return tmp_path / "root"


def test_the_job_trains_on_linked_data_and_sends_everything_back(data_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    """With --ptsi and the data root, as the original's README has it: on that folder, not on simulated pulses."""
    status, files = remote_train.remote_job(["--ptsi", *FLAGS[2:]], str(data_root))
    assert status == 0, files["train.log"].decode()
    assert tomllib.loads(files["config.toml"].decode())["data"] == "PtSiData"
    assert {"model.safetensors", "report.json", "config.toml", "train.log"} <= set(files)
    assert not [name for name in files if "PtSiData" in name]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["root"]  # nothing is left behind


def test_a_folder_that_the_root_has_not_is_no_reason_to_simulate(data_root):
    status, files = remote_train.remote_job(["--inhf", *FLAGS[2:]], str(data_root))
    assert status == 2 and "InHfData" in files["train.log"].decode()


@pytest.mark.parametrize(
    "flags, root, more",
    [
        (["--ptsi"], "/data", True),
        (["--inhf", "--epochs", "2"], "/data", True),
        (["--ptsi"], "", False),
        (["--preset", "ptsi"], "/data", False),
        (["--ptsi", "--data=x"], "/data", False),
        (["--ptsi", "--data-root", "y"], "/data", False),
        (["--ptsi", "--set", "data=x"], "/data", False),
    ],
    ids=["ptsi", "inhf", "no-root", "preset", "data", "data-root", "set"],
)
def test_which_flags_name_the_data_of_the_root(flags, root, more):
    assert remote_train.named_data(flags, root) == (["--data-root", ".", *flags] if more else flags)


@pytest.mark.parametrize(
    "flags, root, message",
    [
        (["--data", "Nothing"], True, "Nothing"),
        (["--no-such-flag"], True, "no-such-flag"),
        (FLAGS, False, "VENOM_DATA_ROOT"),
    ],
    ids=["no-data", "unknown-flag", "no-root"],
)
def test_a_job_that_fails_sends_its_log(flags, root, message, data_root):
    status, files = remote_train.remote_job(flags, str(data_root) if root else str(data_root / "absent"))
    assert status == 2 and message in files["train.log"].decode()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--run-name", "../x"], "plain name"),
        (["--run-name", "a", "--", "--out", "b"], "--out after --"),
        (["--run-name", "a", "--", "--out=b"], "--out=b after --"),
        (["--run-name", "taken"], "holds a run already"),
    ],
    ids=["name", "out", "out-equals", "taken"],
)
def test_wrong_launches_are_refused_before_any_cluster(arguments, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs" / "taken").mkdir(parents=True)
    (tmp_path / "runs" / "taken" / "model.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(remote_train, "connect", lambda *a: pytest.fail("connected"))
    assert remote_train.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_settings_come_from_the_env_file(tmp_path, monkeypatch, data_root):
    monkeypatch.chdir(tmp_path)
    for name in ("VENOM_RAY_ADDRESS", "VENOM_DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_text(f"VENOM_RAY_ADDRESS=host:6379\nVENOM_DATA_ROOT={data_root}\n")
    seen = []

    def refuse(address):
        seen.append(address)
        raise ClusterError("no cluster there")

    monkeypatch.setattr(remote_train, "connect", refuse)
    assert remote_train.main(["--run-name", "a"]) == 2
    assert remote_train.main(["--run-name", "a", "--local"]) == 2
    assert seen == ["host:6379", ""]


@pytest.mark.slow
def test_on_a_local_cluster(data_root, tmp_path, monkeypatch, capsys):
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    command = ["--run-name", "first", "--local", "--data-root", str(data_root), "--quiet", "--"]
    assert remote_train.main([*command, *FLAGS]) == 0
    assert "model.safetensors" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "runs" / "first" / "model.safetensors").model.config["d_model"] == 8
