# SPDX-License-Identifier: MIT
"""Which names an answer may have from outside, and which of its own others may have from it.

All of it is derived from the kit and the tree, so that no list has to be kept beside the code:

- a task's own symbols are those that the kernels and the programs of the kit lack: nothing else
  stays global, so nothing of the framework, of the tests or of a library can be replaced;
- the contract's names are the kit's functions that the task's header knows: those that are declared
  in it, and in what it includes;
- the runtime's names are what a compiler calls by itself, with the sanitizers' part where they are
  on.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

RUNTIME = (
    r"mem(cpy|move|set|cmp|chr)|bcmp|strlen|__cxa_pure_virtual|__cxa_deleted_virtual|abort|__stack_chk_fail"
    r"|_Zn[wa]m(St11align_val_t)?(RKSt9nothrow_t)?|_Zd[la]Pv(m)?(St11align_val_t)?(RKSt9nothrow_t)?|_ZSt7nothrow"
    r"|_ZSt\d+__throw_\w+|_ZSt9terminatev|_ZSt21__glibcxx_assert_fail\w+|__cxa_guard_(acquire|release|abort)"
    r"|_ZNKSt6__\w+|_ZNSt8__detail\w+|_ZSt18_Rb_tree_\w+|_ZSt29_Rb_tree_\w+|_ZSt28_Rb_tree_\w+"
    r"|_ZNSt15__exception_ptr\w+|_ZNSt7__cxx1112basic_string\w+|_ZNKSt7__cxx1112basic_string\w+"
    r"|_GLOBAL_OFFSET_TABLE_|__aarch64_(cas|swp|ldadd|ldclr|ldeor|ldset)\d+_\w+"
)
"""Of the compiler and of the standard library's headers: nothing that has to do with files, time or
processes."""
SANITIZERS = {
    "asan": r"__asan_(init|version_mismatch_check_v\d+|(un)?register_globals|(un)?register_elf_globals"
            r"|handle_no_return|report_(exp_)?(load|store)(\d+|_n)|(load|store)(\d+|N)(_noabort)?"
            r"|stack_malloc_(always_)?\d+|stack_free_\d+|option_detect_stack_use_after_return"
            r"|(un)?poison_stack_memory|allocas_unpoison|alloca_poison|set_shadow_\w\w|mem(cpy|move|set)"
            r"|shadow_memory_dynamic_address|before_dynamic_init|after_dynamic_init|poison_cxx_array_cookie"
            r"|load_cxx_array_cookie)"
            r"|__(start|stop)_asan_globals|___asan_globals_registered|__ubsan_handle_\w+|__ubsan_vptr_type_cache",
    "tsan": r"__tsan_(init|func_entry|func_exit|(unaligned_)?(read|write|read_write)(\d+|_range)(_pc)?|volatile_\w+"
            r"|vptr_(read|update)|atomic\d*_\w+|mem(cpy|move|set))",
}
DENIED = ("evidence", "power_off", r"\b(un)?poison", r"\b(read|write)_msr", r"\b(in|out)(8|16|32)\b", r"\bhalt\b",
          r"\btriple_fault", "arch::fake::", "testing::")
"""Of what headers declare: the end of the machine, its ports and registers, the fake one of the
tests, what judges."""
_DENIED = re.compile("|".join(DENIED), re.IGNORECASE)
_FOR_TESTS = re.compile(r"\bfail_from\b|\bHeldDevice\b|probe|::plan::|\b(run|start)_programs?\b")
"""What tests make happen, and an answer could undo: failures that are injected, reads that are
held, steps of a plan."""
OURS = re.compile(r"_ZN(4kern|3vmm)")
"""Functions of the tree's own rooms, as they are mangled."""
EVERYWHERE = ("kern/lib/todo.hh", "kern/lib/panic.hh", "kern/lib/print.hh", "kern/mm/frame_allocator.hh")
"""What every answer may call: to stop with words, to print while one searches, and to take a
frame."""
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include\s*"([^"\n]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Ground:
    """What the kit's own objects define and lack."""

    defined: dict[str, str]
    """by name as the linker knows it: the name in words"""
    lacking: frozenset[str]


def ground_of(objects: Iterable[Path], nm: str, scripts: Iterable[Path] = ()) -> Ground:
    """Reads the kit's objects and archives, which no answer is in, and the linker scripts, which
    may name symbols."""
    defined: dict[str, str] = {}
    wanted: set[str] = set()
    plain = _listed(nm, objects)
    for kind, name in plain:
        if kind == "U":
            wanted.add(name)
        elif kind.isupper() or kind in "vwu":
            defined[name] = name
    for script in scripts:
        wanted |= set(re.findall(r"\b[a-z]\w*_\w+", script.read_text(encoding="utf-8", errors="replace")))
    words = subprocess.run(["c++filt"], input="\n".join(defined) + "\n", capture_output=True, text=True,
                           check=True).stdout.splitlines()
    return Ground(dict(zip(defined, words)), frozenset(wanted - defined.keys()))


def _listed(nm: str, objects: Iterable[Path]) -> list[tuple[str, str]]:
    done = subprocess.run([nm, "-g", *map(str, objects)], capture_output=True, text=True, check=True)
    out = []
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) >= 2 and len(words[-2]) == 1:
            out.append((words[-2], words[-1]))
    return out


def own_symbols(ground: Ground, assembly: bool) -> list[str]:
    """The names that an answer gives to others."""
    return sorted(name for name in ground.lacking if assembly or name.startswith("_Z"))


def known_words(root: Path, header: str) -> frozenset[str]:
    """The words of a header and of all that it includes in the tree."""
    return _known_words(root, (header, *EVERYWHERE))


@lru_cache(maxsize=64)
def _known_words(root: Path, headers: tuple[str, ...]) -> frozenset[str]:
    waiting, seen, words = list(headers), set(headers), set()
    while waiting:
        path = root / waiting.pop()
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        words |= set(re.findall(r"[A-Za-z_]\w*", text))
        new = [name for name in _INCLUDE.findall(text) if name not in seen]
        seen.update(new)
        waiting += new
    return frozenset(words)


def may_have(name: str, ground: Ground, words: frozenset[str], flavour: str, lacking_too: bool = True) -> bool:
    """Whether an answer may have this name from outside."""
    if re.fullmatch(RUNTIME, name) or re.fullmatch(SANITIZERS.get(flavour, r"(?!)"), name):
        return True
    if name in ground.lacking and lacking_too:  # another task's function, as the header has it
        spelled = demangled(name)
    elif name in ground.defined:
        spelled = ground.defined[name]
    else:
        return False
    return not _DENIED.search(spelled) and not _FOR_TESTS.search(spelled) and last_word(spelled) in words


@lru_cache(maxsize=256)
def demangled(name: str, *, parameters: bool = True) -> str:
    """A name in words, of a function with the types of its parameters or without."""
    return subprocess.run(["c++filt", *["-p"] * (not parameters), name], capture_output=True, text=True, check=True).stdout.strip()


def last_word(spelled: str) -> str:
    """The name that a declaration has: `map` of `kern::Table::map(unsigned long) const`; a class
    for what it makes."""
    spelled = re.sub(r"^(vtable|typeinfo|VTT|guard variable) for ", "", spelled)
    depth, bare = 0, ""
    for sign in spelled.replace("operator()", "operator").replace("operator<", "operator").replace("operator>", "operator"):
        if sign == "(" and depth == 0:
            break
        depth += (sign == "<") - (sign == ">")
        if depth == 0 and sign != ">":
            bare += sign
    parts = [part.strip().lstrip("~").split(" ")[-1] for part in re.sub(r"\[abi:\w+\]", "", bare).split("::")]
    if "operator" in bare.rsplit("::", 1)[-1] and len(parts) > 1:
        return parts[-2]
    return parts[-1]
