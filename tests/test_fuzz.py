"""libFuzzer on what both sides parse, for a short time; `make fuzz` takes longer."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import SANITIZED

HERE = Path(__file__).parent / "fuzz"
SECONDS = os.environ.get("FUZZ_SECONDS", "20")
FLAGS = [
    "-g",
    "-O1",
    "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=undefined",
    f"-I{HERE.parent.parent / 'src'}",
]


def has_libfuzzer(clang: str, directory: Path) -> bool:
    probe = directory / "probe.c"
    probe.write_text(
        "int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { (void)d; (void)n; return 0; }\n"
    )
    return (
        subprocess.run(
            [clang, *FLAGS, probe, "-o", directory / "probe"], capture_output=True, check=False
        ).returncode
        == 0
    )


@pytest.mark.skipif(SANITIZED, reason="the targets have sanitizers of their own")
def test_no_input_breaks_the_parsers(tmp_path: Path) -> None:
    clang = shutil.which("clang") or shutil.which("clang-14")
    if clang is None or not has_libfuzzer(clang, tmp_path):
        pytest.skip("clang with libFuzzer is not installed (clang, libclang-rt-14-dev)")
    sources = sorted((HERE.parent.parent / "src/wire").glob("*.c"))
    running = []
    for target in sorted(HERE.glob("fuzz_*.c")):
        name = target.stem.removeprefix("fuzz_")
        program = tmp_path / name
        subprocess.run([clang, *FLAGS, target, *sources, "-o", program], check=True)
        command = [
            program,
            f"-max_total_time={SECONDS}",
            "-timeout=60",
            "-verbosity=0",
            HERE / "seeds" / name,
        ]
        corpus = tmp_path / f"corpus-{name}"
        corpus.mkdir()
        command.insert(-1, corpus)
        running.append(
            subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
    assert len(running) >= 3
    for process in running:
        output = process.communicate()[0].decode(errors="replace")
        assert process.returncode == 0, output[-5000:]
