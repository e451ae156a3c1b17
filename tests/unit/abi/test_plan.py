"""The layouts shared with the static loader, as Python packs them and as the C compiler sees them."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from pylibos.abi import plan
from pylibos.abi.plan import Image, pack_image, pack_init_block, pack_plan

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = r"""
#include <stddef.h>
#include <stdio.h>
#include "plan.h"
#define SHOW(name, value) printf("%s %llu\n", name, (unsigned long long)(value))
int main(void)
{
    SHOW("magic", PLAN_MAGIC);
    SHOW("segments", PLAN_SEGMENTS);
    SHOW("strings", PLAN_STRINGS);
    SHOW("plan", sizeof(struct exec_plan));
    SHOW("image", sizeof(struct plan_image));
    SHOW("segment", sizeof(struct plan_segment));
    SHOW("program", offsetof(struct exec_plan, program));
    SHOW("interpreter", offsetof(struct exec_plan, interpreter));
    SHOW("text", offsetof(struct exec_plan, strings));
    SHOW("first_segment", offsetof(struct plan_image, segment));
    SHOW("prefix_count", offsetof(struct exec_plan, prefix_count));
    SHOW("uid", offsetof(struct exec_plan, uid));
    SHOW("block", sizeof(struct init_block));
    SHOW("passage", offsetof(struct init_block, passage));
    SHOW("terminal", offsetof(struct init_block, terminal));
    SHOW("filter_flags", offsetof(struct init_block, filter_flags));
    return 0;
}
"""
IMAGE = Image(7, 4096, 0x1040, 0x40, 13, [(0x1000, 0x234, 0x1000, 0x200, 5), (0x3000, 0x900, 0x2000, 0x100, 3)])
WORD = struct.Struct("<Q")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    work = tmp_path_factory.mktemp("plan")
    (work / "show.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-Wall", "-Werror", f"-I{ROOT / 'c_shim'}", "-o", str(work / "show"), str(work / "show.c")], check=True)
    lines = subprocess.run([str(work / "show")], capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: int(value) for name, value in map(str.split, lines)}


def word(data: bytes, offset: int) -> int:
    return int(WORD.unpack_from(data, offset)[0])


def test_constants_and_sizes_are_the_compilers(compiled: dict[str, int]) -> None:
    assert compiled["magic"] == plan.PLAN_MAGIC
    assert (compiled["segments"], compiled["strings"]) == (plan.PLAN_SEGMENTS, plan.PLAN_STRINGS)
    assert (compiled["plan"], compiled["image"]) == (plan.PLAN_SIZE, plan.IMAGE_SIZE)
    assert compiled["text"] == plan.PLAN_HEADER_SIZE


def test_the_plan_and_the_scratch_space_share_the_loaders_pages() -> None:
    assert plan.PLAN_ADDRESS + plan.PLAN_SIZE <= plan.SCRATCH_ADDRESS
    assert plan.SCRATCH_ADDRESS + plan.SCRATCH_SIZE == plan.PLAN_ADDRESS + 0x4000 <= plan.LOADER_END


def test_fields_of_a_plan_are_where_c_looks(compiled: dict[str, int]) -> None:
    packed = pack_plan(b"/bin/sh", IMAGE, IMAGE, [b"sh", b"-e"], (1, 2, 3, 4), executable_stack=True)
    assert word(packed, 0) == plan.PLAN_MAGIC
    assert [word(packed, compiled["uid"] + 8 * index) for index in range(4)] == [1, 2, 3, 4]
    assert word(packed, compiled["prefix_count"]) == 2
    assert packed[compiled["program"] : compiled["interpreter"]] == pack_image(IMAGE)
    assert packed[compiled["text"] :] == b"/bin/sh\0sh\0-e\0"


def test_segments_of_an_image_are_where_c_looks(compiled: dict[str, int]) -> None:
    packed = pack_image(IMAGE)
    assert len(packed) == compiled["image"]
    assert word(packed, compiled["first_segment"] - 8) == 2
    second = compiled["first_segment"] + compiled["segment"]
    assert struct.unpack_from("<5Q", packed, second) == IMAGE.segments[1]
    assert pack_image(None) == bytes(compiled["image"])


def test_what_does_not_fit_is_refused() -> None:
    crowded = Image(1, 0, 0, 0, 0, [(0, 0, 0, 0, 0)] * (plan.PLAN_SEGMENTS + 1))
    with pytest.raises(ValueError, match="segments"):
        pack_image(crowded)
    fits = b"x" * (plan.PLAN_STRINGS - 1)
    assert len(pack_plan(fits, IMAGE, None, [], (0, 0, 0, 0), executable_stack=False)) == plan.PLAN_SIZE
    with pytest.raises(ValueError, match="strings"):
        pack_plan(fits + b"x", IMAGE, None, [], (0, 0, 0, 0), executable_stack=False)


@pytest.mark.parametrize("argv", [[b"a"], [b"prog", b"", b"x" * 5000]])
def test_an_init_block_can_be_read_back(compiled: dict[str, int], argv: list[bytes]) -> None:
    bpf = bytes(range(8)) * 3
    environment = [b"A=1", b"B="]
    block = pack_init_block(bpf, 40, b"/bin/prog", argv, environment, passage=1023)
    (magic, total, filters, count, flags, path, argv_at, argc, envp_at, envc, passage, terminal) = struct.unpack_from("<12Q", block)
    assert compiled["block"] == 12 * 8
    assert terminal == word(block, compiled["terminal"]) == 0
    assert word(pack_init_block(bpf, 40, b"/bin/prog", argv, environment, terminal=True), compiled["terminal"]) == 1
    assert (magic, total) == (plan.PLAN_MAGIC, len(block))
    assert (word(block, compiled["filter_flags"]), word(block, compiled["passage"])) == (flags, passage) == (40, 1023)
    assert block[filters : filters + 8 * count] == bpf

    def text(offset: int) -> bytes:
        return block[offset : block.index(b"\0", offset)]

    assert text(path) == b"/bin/prog"
    assert [text(word(block, argv_at + 8 * index)) for index in range(argc)] == argv
    assert [text(word(block, envp_at + 8 * index)) for index in range(envc)] == environment
    assert word(block, argv_at + 8 * argc) == word(block, envp_at + 8 * envc) == 0
    assert argv_at % 8 == envp_at % 8 == 0
