"""Files that hosts look for: they can be read, name settings that exist, and take what the web app needs."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.conftest import ROOT
from tests.webapp.small_site import make_catalogue
from webapp import create_app
from webapp.app import DEFAULTS, OF_GUNICORN

SETTINGS = {*DEFAULTS, *OF_GUNICORN}
DEPLOY = ROOT / "deploy"


def settings_of_files() -> Iterator[tuple[str, set[str]]]:
    yield "app.json", set(json.loads((ROOT / "app.json").read_text())["env"])
    services = yaml.safe_load((ROOT / "render.yaml").read_text())["services"]
    yield "render.yaml", {variable["key"] for variable in services[0]["envVars"]}
    yield "fly.toml", set(tomllib.loads((ROOT / "fly.toml").read_text())["env"])
    dockerfile = re.search(r"^ENV (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE).group(1)
    yield "Dockerfile", set(re.findall(r"(\w+)=", dockerfile)) - {"PYTHONUNBUFFERED"}
    unit = (DEPLOY / "steam-clip.service").read_text()
    lines = re.findall(r"^Environment=(.*)$", unit, re.MULTILINE)
    yield "steam-clip.service", {name for line in lines for name in re.findall(r"(\w+)=", line)}


def test_every_setting_in_a_hosts_file_exists():
    for name, settings in settings_of_files():
        assert settings, name
        assert settings <= SETTINGS, name


def test_every_file_for_a_host_with_a_router_says_how_many_hops_there_are():
    for name, settings in settings_of_files():
        assert "PROXY_HOPS" in settings or name == "Dockerfile", name


def test_every_setting_is_documented():
    documents = (ROOT / "docs" / "deploying.md").read_text()
    table = documents[documents.index("## Settings") :]
    assert {name for name in SETTINGS if f"`{name}`" not in table} == set()


def test_the_image_holds_all_that_the_web_app_imports():
    """And so does a slug: what .slugignore leaves out is imported by nothing there."""
    allowed = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert all((ROOT / name).exists() for name in allowed)
    ignored = {line.strip("/") for line in (ROOT / ".slugignore").read_text().splitlines()}
    own = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    names = [ROOT / "manage_catalogue.py", ROOT / "gunicorn.conf.py", *(ROOT / "webapp").rglob("*.py")]
    for path in names:
        tree = ast.parse(path.read_text())
        # Only at the top: manage_catalogue.py imports the batch programs where it needs them.
        for node in tree.body:
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for module in {name.partition(".")[0] for name in modules} & own:
                assert {module, f"{module}.py"} & allowed, (path, module)
                assert module not in ignored
    assert {"templates", "static", "pyproject.toml", "requirements.txt"} <= allowed


def test_files_named_in_the_documents_exist():
    for document in (ROOT / "docs" / "deploying.md", ROOT / "README.md", ROOT / "SECURITY.md"):
        for name in re.findall(r"\bdeploy/[A-Za-z0-9_.-]*[A-Za-z0-9]", document.read_text()):
            assert list(DEPLOY.glob(f"{Path(name).name}*")), name


def test_the_dashboard_asks_for_metrics_that_there_are(tmp_path):
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c")}).test_client()
    client.get("/")
    metrics = client.get("/metrics").get_data(as_text=True)
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    asked = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"steam_clip_\w+", target["expr"])
    }
    assert len(asked) >= 5
    assert {name for name in asked if f"\n{name}" not in metrics} == set()


def test_the_action_runs_programs_and_options_that_there_are():
    steps = yaml.safe_load((DEPLOY / "github-update.yml").read_text())["jobs"]["update"]["steps"]
    commands = " ".join(step.get("run", "") for step in steps)
    for program in re.findall(r"python (\w+\.py)", commands):
        assert (ROOT / program).exists()
    assert {"update", "pack"} <= set(re.findall(r"manage_catalogue\.py (\w+)", commands))
