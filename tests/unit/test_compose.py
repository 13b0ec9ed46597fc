"""docker-compose.yaml and the files in deploy/: every reference holds, and no secret has a default."""

import base64
import configparser
import functools
import importlib.util
import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
ENV_EXAMPLE = (ROOT / "deploy/env.example").read_text()
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()

ONE_SHOT = {name for name, service in SERVICES.items() if service.get("restart") == "no"}
LONG_RUNNING = SERVICES.keys() - ONE_SHOT
AIRFLOW = {name for name, service in SERVICES.items() if "build" in service}

# ${NAME}, ${NAME:-default} and ${NAME:?message}; `$$` is Compose's escape for one dollar sign.
REFERENCE = re.compile(r"(?<!\$)\$(?:\{(?P<braced>\w+)(?P<rest>[^}]*)\}|(?P<bare>\w+))")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$")
PINNED = re.compile(r"[\w./-]+:[\w.-]*\d+\.\d+[\w.-]*")

# Options of the Celery provider that Airflow's own fallback file does not name; deploy/requirements.txt pins
# the provider, and the development environment does not have it.
CELERY_OPTIONS = {"result_backend"}


def references(text):
    """Every variable that a text refers to: (name, what follows the name in the braces)."""
    return [(m["braced"] or m["bare"], m["rest"] or "") for m in REFERENCE.finditer(text)]


def code(text):
    """A YAML, shell or env text without its comment lines."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def example_variables():
    """Variable -> value in the env template; optional settings are commented out and count too."""
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", ENV_EXAMPLE, re.MULTILINE))


def mounts(service):
    """The (source, target, mode) of each volume of a service, in Compose's short form."""
    return [(*volume.split(":"), "rw")[:3] for volume in service.get("volumes", [])]


def make_env(target, script=ROOT / "deploy/make-env.sh"):
    """Run deploy/make-env.sh in an environment that holds nothing but PATH."""
    return subprocess.run([script, target], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})


@functools.cache
def airflow_options():
    """Section -> option names, from the description that Airflow itself reads, without importing Airflow."""
    [package] = importlib.util.find_spec("airflow").submodule_search_locations
    folder = Path(package, "config_templates")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    described = yaml.load((folder / "config.yml").read_text(), loader)  # noqa: S506  # a safe loader, in C
    options = {section: set(body["options"]) for section, body in described.items()}
    providers = configparser.ConfigParser(interpolation=None)
    providers.read(folder / "provider_config_fallback_defaults.cfg")
    return options | {"celery": {*providers["celery"], *CELERY_OPTIONS}}


def variables_of(env_file):
    """Variable -> value in a .env."""
    return dict(line.split("=", 1) for line in code(env_file.read_text()).splitlines() if line)


@pytest.fixture(scope="module")
def made_env(tmp_path_factory):
    """A .env as the administrator gets it, and what the script printed."""
    target = tmp_path_factory.mktemp("compose") / ".env"
    result = make_env(target)
    assert result.returncode == 0, result.stderr
    return target, result.stdout + result.stderr


@pytest.fixture(scope="module")
def env_file(made_env):
    """That .env."""
    return made_env[0]


@pytest.fixture(scope="module")
def env(env_file):
    """Variable -> value in it."""
    return variables_of(env_file)


@pytest.fixture(scope="module")
def env_beside(tmp_path_factory):
    """The .env of a second deployment, at the script's default place."""
    folder = tmp_path_factory.mktemp("beside")
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    subprocess.run([folder / "deploy/make-env.sh"], check=True, capture_output=True, cwd="/")
    return folder / ".env"


def test_all_parts_of_the_deployment_are_there():
    """A typo in a service's name would make the tests below pass on nothing."""
    airflow = {"api-server", "scheduler", "dag-processor", "triggerer", "worker"}
    assert {"postgres", "redis", "vault", *(f"airflow-{part}" for part in airflow)} == LONG_RUNNING
    assert {"init"} == ONE_SHOT


@pytest.mark.parametrize("name", SERVICES)
def test_depends_on_names_a_service_and_a_condition_it_can_meet(name):
    """A condition that can never come true keeps a service from starting for ever."""
    for target, dependency in SERVICES[name].get("depends_on", {}).items():
        assert target in SERVICES
        expected = "service_completed_successfully" if target in ONE_SHOT else "service_healthy"
        assert dependency["condition"] == expected
        assert expected != "service_healthy" or "healthcheck" in SERVICES[target]
        assert "profiles" not in SERVICES[target], "a service in a profile may not be running"


def test_depends_on_has_no_cycle():
    """Services that wait for one another never start."""
    done = set()
    while ready := {n for n, s in SERVICES.items() if n not in done and s.get("depends_on", {}).keys() <= done}:
        done |= ready
    assert done == SERVICES.keys()


@pytest.mark.parametrize("kind", ["volumes", "networks", "secrets", "configs"])
def test_what_services_use_is_declared_and_what_is_declared_is_used(kind):
    """Compose refuses an undeclared name, and creates an unused one."""
    if kind == "volumes":
        used = {source for s in SERVICES.values() for source, *_ in mounts(s) if not source.startswith(".")}
    else:
        used = {item for service in SERVICES.values() for item in service.get(kind, [])}
    assert used == set(COMPOSE.get(kind, {}))


def test_every_file_mounted_or_built_from_exists():
    """Docker makes an empty folder out of a mounted path that does not exist, and says nothing."""
    builds = [service["build"] for service in SERVICES.values() if "build" in service]
    used = {source for s in SERVICES.values() for source, *_ in mounts(s) if source.startswith(".")}
    used |= {str(Path(build["context"], build["dockerfile"])) for build in builds}
    missing = [path for path in used if not (ROOT / path).exists()]
    assert "./dags" in used
    assert not missing


def test_every_file_copied_into_the_image_exists_and_passes_the_dockerignore():
    """What .dockerignore holds back is missing in the build, although it is there on disk."""
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source
        for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)
        for source in [word for word in line.split() if not word.startswith("--")][:-1]
    ]
    assert set(copied) == admitted
    assert not [source for source in copied if not (ROOT / source).exists()]


def test_dags_and_host_files_are_mounted_read_only():
    """A pack that changes files in its container must not change them on the host."""
    for service in SERVICES.values():
        for source, target, mode in mounts(service):
            assert mode == "ro" or not source.startswith("."), target


def test_every_variable_is_in_the_env_template_and_the_other_way_round():
    """Users cannot find a variable that the template does not name."""
    assert {name for name, _ in references(code(COMPOSE_TEXT))} == example_variables().keys()


def test_no_secret_has_a_value_before_somebody_makes_one():
    """Everybody knows a default password."""
    for name, rest in references(code(COMPOSE_TEXT)):
        if SECRET.search(name):
            assert rest.startswith(":?"), f"{name} must stop the start when it is missing or empty"
            assert "make-env.sh" in rest, f"{name}: the message says how to make it"
            assert example_variables()[name] == ""
        else:
            assert rest == f":-{example_variables()[name]}", f"{name}: the template shows the real default"


@pytest.mark.parametrize("name", SERVICES)
def test_secret_settings_come_from_env_alone(name):
    """No secret is a literal, not even as part of a URL."""
    for key, value in SERVICES[name].get("environment", {}).items():
        if key.endswith("_FILE"):
            continue
        if SECRET.search(key) or key.startswith("AIRFLOW_CONN_") or "://:" in str(value) or "@" in str(value):
            assert any(SECRET.search(variable) for variable, _ in references(str(value))), key
        for literal in re.findall(r"://[^:/@]*:([^@]*)@", str(value)):
            assert REFERENCE.fullmatch(literal), key


def test_worker_holds_no_secret_of_the_airflow_servers():
    """A pack runs under its worker's user id, so a hostile pack can read the worker's secrets."""
    worker = json.dumps(SERVICES["airflow-worker"])
    for name in ("AIRFLOW_DB_PASSWORD", "AIRFLOW_FERNET_KEY", "AIRFLOW_JWT_SECRET", "POSTGRES_PASSWORD"):
        assert name not in worker
        assert name == "POSTGRES_PASSWORD" or name in json.dumps(SERVICES["airflow-scheduler"])


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name):
    """The same file gives the same deployment next year."""
    assert PINNED.fullmatch(SERVICES[name]["image"])


def test_built_image_follows_the_versions_of_the_repository():
    """The image's tag is the version of hdm_airflow, its base the Airflow of constraints.txt."""
    [version] = re.findall(r'^__version__ = "(.*?)"', (ROOT / "hdm_airflow/__init__.py").read_text(), re.MULTILINE)
    [airflow] = re.findall(r"^apache-airflow==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert {SERVICES[name]["image"] for name in AIRFLOW} == {f"hdm-airflow:{version}"}
    assert re.findall(r"^FROM (.*)$", DOCKERFILE, re.MULTILINE) == [f"apache/airflow:slim-{airflow}-python3.11"]


def test_packages_of_the_image_are_pinned_once():
    """deploy/requirements.txt names packages, and constraints.txt alone their versions."""
    added = code((ROOT / "deploy/requirements.txt").read_text()).split()
    assert "apache-airflow-providers-celery" in added
    assert set(added) <= set(re.findall(r"^([\w.-]+)==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert DOCKERFILE.count("pip install") == DOCKERFILE.count("--constraint /opt/hdm/constraints.txt")


def test_image_does_not_run_as_root():
    """The last USER of the Dockerfile is the one that the containers run as."""
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)[-1] == "airflow"
    assert not [name for name in SERVICES if SERVICES[name].get("user", "").startswith(("root", "0"))]
    assert not [name for name in SERVICES if SERVICES[name].get("privileged")]


def test_only_the_api_server_is_published_and_only_on_this_machine():
    """A database that listens on every interface is the classic accident of Compose files."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"airflow-api-server"}
    [port] = published["airflow-api-server"]
    defaults = REFERENCE.sub(lambda m: m["rest"].removeprefix(":-"), port)
    assert re.fullmatch(r"127\.0\.0\.1:\d+:8080", defaults)


def test_databases_are_on_a_network_without_a_way_out():
    """Only Airflow's services are on the outer network, because their tasks must reach the source databases."""
    assert COMPOSE["networks"]["back"]["internal"] is True
    for name, service in SERVICES.items():
        assert service["networks"] == (["front", "back"] if name in AIRFLOW else ["back"])


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_airflow_settings_exist_in_airflow(name):
    """Airflow ignores an option that it does not know: a typo would go unnoticed."""
    options = airflow_options()
    settings = [key for key in SERVICES[name]["environment"] if key.startswith("AIRFLOW__")]
    assert settings
    for key in settings:
        _, section, option = key.lower().split("__")
        assert option in options.get(section, set()), key


def test_secrets_are_the_same_for_all_services_that_have_them():
    """Different keys show up as "signature verification failed", hours later, in one corner."""
    values = {}
    for name in AIRFLOW:
        for key, value in SERVICES[name]["environment"].items():
            values.setdefault(key, set()).add(str(value))
    assert not {key: found for key, found in values.items() if len(found) > 1}


def test_hdm_connection_is_valid_json(env):
    """Airflow reads AIRFLOW_CONN_HDM as JSON when it begins with a brace."""
    value = SERVICES["airflow-worker"]["environment"]["AIRFLOW_CONN_HDM"]
    connection = json.loads(REFERENCE.sub(lambda m: env[m["braced"]], value))
    assert connection["conn_type"] == "postgres"
    assert (connection["host"], connection["schema"], connection["login"]) == ("postgres", "hdm", "hdm")
    assert connection["password"] == env["HDM_DB_PASSWORD"]


def test_database_script_reads_variables_that_postgres_gets():
    """psql leaves a variable unset when the environment lacks it, and the password would be its name."""
    sql = (ROOT / "deploy/postgres/databases.sql").read_text()
    wanted = dict(re.findall(r"^\\getenv (\w+) (\w+)$", sql, re.MULTILINE))
    assert set(re.findall(r":'(\w+)'", sql)) == wanted.keys()
    assert set(wanted.values()) <= SERVICES["postgres"]["environment"].keys()


@pytest.mark.parametrize("name", sorted(LONG_RUNNING))
def test_long_running_service_is_watched_and_restarted(name):
    """Each has a health check of its own, comes back after a crash, and cannot fill the disk with logs."""
    service = SERVICES[name]
    check = service["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_one_shot_service_has_no_health_check(name):
    """It is done when it ends; its exit code is its health."""
    assert "healthcheck" not in SERVICES[name]


def test_vault_starts_only_when_asked_for():
    """Vault in dev mode is for trying out: it forgets everything when it stops."""
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["vault"]


def test_env_script_writes_every_variable_that_has_no_default(env):
    """After the script, `docker compose up` asks for nothing more."""
    required = {name for name, rest in references(code(COMPOSE_TEXT)) if rest.startswith(":?")}
    assert required == env.keys()
    assert all(env.values())


def test_env_script_makes_secrets_that_fit_where_they_are_used(env):
    """URL-safe, long enough for HS512 (64 bytes), the fernet key 32 bytes in base64, and none twice."""
    assert len(set(env.values())) == len(env)
    assert len(base64.urlsafe_b64decode(env["AIRFLOW_FERNET_KEY"])) == 32
    assert all(re.fullmatch(r"[0-9a-f]{64}", env[name]) for name in env.keys() - {"AIRFLOW_FERNET_KEY"})


def test_env_script_makes_new_secrets_each_time(env, env_beside):
    """Two hospitals never share one."""
    other = variables_of(env_beside)
    assert other.keys() == env.keys()
    assert not set(env.values()) & set(other.values())


def test_env_script_writes_a_file_for_its_owner_only(env_file):
    """Mode 0600, whatever the umask."""
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600


def test_env_script_writes_beside_the_compose_file_when_told_nothing_else(env_beside):
    """Compose reads .env from the folder of docker-compose.yaml."""
    assert env_beside.is_file()


def test_env_script_prints_no_secret(made_env):
    """Output ends up in terminals and CI logs."""
    env_file, printed = made_env
    secrets = re.findall(r"^[A-Z_]+=(.+)$", env_file.read_text(), re.MULTILINE)
    assert secrets
    assert not [secret for secret in secrets if secret in printed]


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_env_script_refuses_to_overwrite(tmp_path, kind):
    """The secrets of a running deployment cannot be made again."""
    target = tmp_path / ".env"
    if kind == "file":
        target.write_text("mine\n")
    else:
        target.symlink_to(tmp_path / "elsewhere")
    result = make_env(target)
    assert result.returncode == 1
    assert "exists" in result.stderr
    assert target.is_symlink() or target.read_text() == "mine\n"
    assert not (tmp_path / "elsewhere").exists()
