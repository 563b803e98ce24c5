"""Files appear whole or not at all."""

import pytest

from venom_hw.atomic import atomic_file, write_atomically


def test_content_folders_and_mode(tmp_path):
    path = write_atomically(tmp_path / "new" / "folder" / "a.txt", "text")
    assert path.read_text() == "text" and path.stat().st_mode & 0o777 == 0o644
    write_atomically(path, b"bytes")
    assert path.read_bytes() == b"bytes" and [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_atomically(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic_file(path) as file:
        file.write(b"half of the n")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
