import subprocess
import sys

from manage_catalogue import main
from tests.conftest import ROOT
from tests.webapp.small_site import make_catalogue


def test_a_sound_catalogue_exits_with_0_a_damaged_one_with_1_a_mistake_with_2(tmp_path, capsys):
    folder = make_catalogue(tmp_path / "c")
    assert main(["verify", str(folder)]) == 0
    assert main(["info", str(folder)]) == 0
    (folder / "appids.npy").write_bytes(b"nothing")
    assert main(["verify", str(folder)]) == 1
    for command in ("verify", "info"):
        capsys.readouterr()
        assert main([command, str(tmp_path / "none")]) == 2
        assert capsys.readouterr().err == f"manage_catalogue.py: error: {tmp_path / 'none'} is not a folder\n"


def test_a_server_without_the_batch_programs_libraries_can_check_its_catalogue(tmp_path):
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['tqdm', 'torch', 'transformers', 'onnx']));"
        "import manage_catalogue; sys.exit(manage_catalogue.main(sys.argv[1:]))"
    )
    for folder, status in ((make_catalogue(tmp_path / "c"), 0), (tmp_path / "none", 2)):
        command = [sys.executable, "-c", program, "verify", str(folder)]
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert finished.returncode == status, finished.stderr
        assert "Traceback" not in finished.stderr
