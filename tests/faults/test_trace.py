"""The reader of strace's lines, on lines as strace 6 writes them."""

import pytest

from faults.trace import Call, Descriptor, TraceError, calls


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


FILE = hexed("/d/a, (b) <c>")
WHOLE = f'7  pwrite64(4<{FILE}>, "{hexed("x, y) = 3")}", 9, 4096) = 9'


def read(*lines: str) -> list[Call]:
    return list(calls(f"{line}\n" for line in lines))


def test_a_call_with_a_descriptor_data_and_numbers() -> None:
    descriptor = Descriptor("4", "/d/a, (b) <c>")
    assert read(WHOLE) == [Call(7, "pwrite64", (descriptor, b"x, y) = 3", "9", "4096"), 9, 0, 0)]


def test_a_call_that_was_interrupted_by_another_threads_begins_where_it_began() -> None:
    begun, resumed = f"7  fsync(4<{FILE}> <unfinished ...>", "7  <... fsync resumed>)              = 0"
    assert [(c.thread, c.name, c.begun, c.ended) for c in read(begun, WHOLE.replace("7", "8", 1), resumed)] == [
        (8, "pwrite64", 1, 1),
        (7, "fsync", 0, 2),
    ]


def test_the_two_halves_of_a_call_are_joined_to_the_whole() -> None:
    whole = f'7  openat(AT_FDCWD<{hexed("/d")}>, "{hexed("x")}", O_RDWR|O_CREAT, 0644) = 5<{hexed("/d/x")}>'
    for cut in ("AT_FDCWD", f'"{hexed("x")}"', "O_RDWR", "0644", ") = 5"):
        at = whole.index(cut)
        begun, rest = whole[:at].rstrip(", "), whole[at:]
        halves = read(f"{begun} <unfinished ...>", f"7  <... openat resumed>{rest}")
        assert [(c.name, c.arguments, c.result) for c in halves] == [
            (c.name, c.arguments, c.result) for c in read(whole)
        ]


def test_every_thread_has_its_own_unfinished_call() -> None:
    lines = [f"{thread}  fdatasync(4<{FILE}> <unfinished ...>" for thread in (1, 2, 3)]
    ended = read(*lines, *(f"{thread}  <... fdatasync resumed>) = 0" for thread in (2, 3, 1)))
    assert [(c.thread, c.begun, c.ended) for c in ended] == [(2, 1, 3), (3, 2, 4), (1, 0, 5)]


def test_a_vector_is_read_as_its_first_buffer() -> None:
    said = f'7  writev(1<{hexed("pipe:[5]")}>, [{{iov_base="{hexed("acked 3")}", iov_len=7}}], 1) = 7'
    assert read(said)[0].arguments == (Descriptor("1", "pipe:[5]"), b"acked 3", "1")


def test_a_name_beside_the_descriptor_of_its_folder() -> None:
    said = f'7  unlinkat(7<{hexed("/d")}>, "{hexed("x")}", AT_REMOVEDIR) = 0'
    assert read(said)[0].arguments == (Descriptor("7", "/d"), b"x", "AT_REMOVEDIR")


def test_a_deleted_file_has_no_path() -> None:
    assert read(f"7  fsync(4<{FILE}>(deleted)) = 0")[0].arguments == (Descriptor("4", None),)


def test_a_call_that_failed_keeps_its_arguments() -> None:
    said = f'7  mkdir("{hexed("/d")}", 0777) = -1 EEXIST (File exists)'
    assert [(c.arguments, c.result) for c in read(said)] == [((b"/d", "0777"), -1)]


@pytest.mark.parametrize(
    "line", ["7  +++ exited with 0 +++", "7  --- SIGTERM {si_signo=SIGTERM} ---", "7  fsync(3) = ?"]
)
def test_what_is_no_finished_call_is_left_out(line: str) -> None:
    assert read(line) == []


def test_a_call_that_never_came_back_is_left_out() -> None:
    assert read(f"7  fsync(4<{FILE}> <unfinished ...>", "7  +++ killed by SIGKILL +++") == []


@pytest.mark.parametrize("line", [WHOLE.replace('", 9', '"..., 9'), "no thread", "7  what is this"])
def test_what_cannot_be_read_is_an_error(line: str) -> None:
    with pytest.raises(TraceError):
        read(line)
