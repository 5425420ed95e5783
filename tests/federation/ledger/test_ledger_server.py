"""The throw-away PostgreSQL of the gate: it answers, it ends, and it leaves nothing behind."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / ".ci" / "postgres"

STORY = f"""
set -euo pipefail
source {SCRIPT}
start_postgres "$1" {sys.executable} || {{ cat "$1"/postgres/*.log >&2; exit 1; }}
echo "$postgres_pid $EQUIGRAD_POSTGRES"
stop_postgres
kill -0 "${{postgres_pid:-999999999}}" 2>/dev/null && exit 2
rm -rf "$1/postgres"
"""


def test_the_script_is_sound():
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


@pytest.mark.postgres
def test_the_server_of_the_gate_comes_and_goes():
    programs = f"source {SCRIPT}; postgres_programs"
    if subprocess.run(["bash", "-c", programs], capture_output=True).returncode:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp())  # pytest's own folder is closed to the server's user
    try:
        done = subprocess.run(
            ["bash", "-c", STORY, "story", str(folder)], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        pid, address = done.stdout.split()
        assert address.startswith("postgresql://equigrad:")
        assert not Path(f"/proc/{pid}").exists()
        assert list(folder.iterdir()) == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)
