"""What all programs say where they cannot start, or go on."""

import subprocess
import sys

import pytest

from console import importing, run
from tests.conftest import ROOT

PROGRAMS = {
    "fetch_banners.py": "requirements-embed.txt",
    "audit_banners.py": "requirements-embed.txt",
    "embed_banners.py": "requirements-embed.txt",
    "evaluate_catalogue.py": "requirements-embed.txt",
    "manage_catalogue.py": "requirements.txt",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_its_libraries_a_program_names_the_file_to_install(program):
    command = [sys.executable, "-S", program, "--help"]  # -S: none but Python's own
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1
    assert finished.stderr.endswith(f"is not installed; pip install -r {PROGRAMS[program]}\n")


def test_an_interrupt_during_imports_is_one_line(capsys):
    with pytest.raises(SystemExit) as exit, importing("x.py"):
        raise KeyboardInterrupt
    assert exit.value.code == 130
    assert capsys.readouterr().err == "x.py: interrupted\n"


def test_a_module_of_ours_that_is_missing_is_a_fault():
    with pytest.raises(ModuleNotFoundError), importing("x.py"):
        import banners.nothing  # noqa: F401


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("268 requested and 200 written"), "a file: the disk may be full (268 requested and 200 written)"),
        (OSError(28, "No space left on device", "/x/y"), "/x/y: No space left on device"),
    ],
)
def test_errors_of_the_system_are_one_line_without_numbers_of_errors(capsys, error, text):
    def fail() -> int:
        raise error

    assert run("x.py", fail, "") == 2
    assert capsys.readouterr().err == f"x.py: error: cannot write or read {text}\n"
