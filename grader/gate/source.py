# SPDX-License-Identifier: MIT
"""The rules for the words of an answer in C++.

What is forbidden has no use in any task, and each would let an answer speak past its judge:
assembly, other code under a sanitizer than in the kernel, names of lines that are not there,
functions that run before main, and the walk up the stack. Comments and literals are not words.

Two texts are looked at: the file, whose directives and names are judged as they stand; and, where
macros or conditions are in it, the file's own lines as the preprocessor leaves them, which must be
the same in every flavour.

Where a compiler and this reader could see different words in a text, the text is refused. And each
text is read once from its beginning to its end, whatever it holds: what does not end, a comment or
a literal, ends with the text or line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from grader.gate import Finding

ASSEMBLY = {"asm", "__asm", "__asm__"}
STACK = {"__builtin_frame_address", "__builtin_return_address", "__builtin_extract_return_addr", "__builtin_eh_return",
         "__builtin_longjmp", "__builtin_setjmp", "__builtin_unwind_init", "__builtin_apply", "__builtin_apply_args",
         "__builtin_return", "__builtin_dwarf_cfa", "__builtin_stack_address", "longjmp", "setjmp", "_setjmp",
         "siglongjmp", "sigsetjmp", "__builtin_init_dwarf_reg_size_table", "__builtin_frob_return_addr"}
SEGMENTS = {"__seg_fs", "__seg_gs", "__builtin_thread_pointer", "__thread", "thread_local", "_Thread_local"}
FLAVOUR = re.compile(r"__SANITIZE_\w+|__has_feature|__has_extension|__SANITIZER_\w+|__([atlm]san|ubsan|sanitizer|interceptor)_\w+")
ATTRIBUTES = re.compile(
    r"(__)?(no_sanitize\w*|no_address_safety_analysis|disable_sanitizer_instrumentation|optimize|optnone|target"
    r"|target_clones|target_version|section|code_seg|alias|ifunc|weakref|constructor|destructor|init_priority|naked"
    r"|symver|tls_model|no_instrument_function|patchable_function_entry|patchable_function|interrupt|signal"
    r"|ms_hook_prologue|copy|error|warning|cleanup_handler|asm_label|annotate)(__)?|asm")
HARMLESS_PRAGMAS = re.compile(r"once|STDC\b.*|region\b.*|endregion\b.*|mark\b.*"
                              r"|GCC\s+(diagnostic|unroll|ivdep|warning|message|poison)\b.*"
                              r"|clang\s+(diagnostic|loop|unroll\w*)\b.*|message\b.*|unroll\b.*")
CONDITIONS = {"if", "ifdef", "ifndef", "elif", "elifdef", "elifndef", "else", "endif"}
KNOWN = {"include", "pragma", "define", "undef", "error", "warning", "line", "import", "include_next", "ident",
         "sccs", "assert", "unassert", "embed", *CONDITIONS}

_TOKEN = re.compile(
    r"""(?P<space>[ \t\f\v]+)|(?P<newline>\n)|(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<raw>(?:u8|[uUL])?R"(?P<mark>[^()\\\s]{0,16})\(.*?(?:\)(?P=mark)"\w*|\Z))
    |(?P<literal>(?:u8|[uUL])?(?:"(?:[^"\\\n]|\\[^\n])*(?:"\w*)?|'(?:[^'\\\n]|\\[^\n])*(?:'\w*)?))
    |(?P<number>\.?\d(?:[eEpP][+-]|'?[\w.])*)
    |(?P<word>[^\W\d]\w*)
    |(?P<punctuation>\#\#|%:%:|%:|\[\[|\]\]|<:(?!:(?![:>]))|::|.)""", re.DOTALL | re.VERBOSE)


class Token(NamedTuple):
    """A word, a sign or a literal, and its line."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> list[Token]:
    """What the compiler makes of a text, without spaces and comments; a `newline` ends each
    directive's line."""
    joined, lines = _spliced(text)
    found = []
    line = 1
    for match in _TOKEN.finditer(joined):
        kind = match.lastgroup or "punctuation"
        kind = "raw" if kind == "mark" else kind
        if kind not in ("space", "comment"):
            found.append(Token(kind, match[0], lines[line - 1]))
        line += match[0].count("\n")
    return found


def _spliced(text: str) -> tuple[str, list[int]]:
    """The text with lines that end in a backslash joined, and for each line of it its number in the
    file."""
    out: list[list[str]] = []
    numbers: list[int] = []
    joining = False
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.rstrip(" \t\f\v")
        goes_on = bare.endswith("\\")
        piece = bare[:-1] if goes_on else line
        if joining:
            out[-1].append(piece)
        else:
            out.append([piece])
            numbers.append(number)
        joining = goes_on
    return "\n".join(map("".join, out)), numbers


class Directive(NamedTuple):
    """A line of the preprocessor."""

    name: str
    words: list[Token]
    line: int


def directives(found: list[Token]) -> Iterator[Directive]:
    """The lines that begin with #, in whatever spelling."""
    start = True
    for i, token in enumerate(found):
        if start and token.text in ("#", "%:"):
            end = next((j for j in range(i + 1, len(found)) if found[j].kind == "newline"), len(found))
            words = found[i + 1:end]
            yield Directive(words[0].text if words else "", words[1:], token.line)
        start = token.kind == "newline"


def findings(text: str) -> list[Finding]:
    """What the file's own text may not hold."""
    found = tokens(text)
    seen = list(directives(found))
    out = [finding for one in seen for finding in _directive(one)]
    last = max((one.line for one in seen if one.name == "include"), default=0)
    out += [Finding(one.line, f"#{one.name} {one.words[0].text} before an #include changes what the header says: "
                    "write it behind, or with a name in capitals")
            for one in seen if one.name in ("define", "undef") and one.line < last and one.words
            and not re.fullmatch(r"(?!NEST_|GTEST_)[A-Z][A-Z0-9_]*", one.words[0].text)]
    out += _raw_strings(found, text)
    out += _words(found)
    return sorted(set(out), key=lambda one: one.line)


def assembly_findings(text: str) -> list[Finding]:
    """What the text of a task in assembly may not hold. Its code is judged in the object."""
    return [Finding(number, f"{found[0]} takes another file in: a task stands alone in its file")
            for number, line in enumerate(text.split("\n"), 1)
            if (found := re.search(r"(?<![\w.])\.(incbin|include)\b", line)) is not None]


def _raw_strings(found: list[Token], text: str) -> Iterator[Finding]:
    """A raw string over several lines may hold what looks like a line marker; and the compiler
    takes back, in a raw string, what a backslash at the end of a line has joined, and may see
    another end than _spliced()."""
    joins = re.search(r"\\[ \t\f\v]*\n", text) is not None
    for token in found:
        if token.kind == "raw" and (joins or "\n" in token.text):
            yield Finding(token.line, "a raw string, over several lines or where lines end in a backslash: write it as "
                          "an ordinary string")


def is_plain(text: str) -> bool:
    """Whether the preprocessor can change nothing in the file's own lines that would matter: no
    condition, no macro of its own, and no name that looks like one."""
    found = tokens(text)
    names = {one.name for one in directives(found)}
    return names <= {"include", "pragma", ""} and not any(
        token.kind == "word" and re.fullmatch(r"__\w+|_[A-Z]\w*|[A-Z][A-Z0-9_]{2,}", token.text) for token in found)


def _directive(one: Directive) -> Iterator[Finding]:
    if one.name == "line" or one.name[:1].isdigit():
        yield Finding(one.line, "#line and line markers tell of lines that are not there: leave them out")
    elif one.name in ("import", "include_next", "ident", "sccs", "assert", "unassert", "embed"):
        yield Finding(one.line, f"#{one.name} has no use in a task: leave it out")
    elif one.name == "include":
        target = "".join(token.text for token in one.words)
        if target.startswith(('"/', "</")) or ".." in target.strip("\"<>").split("/"):
            yield Finding(one.line, f"#include {target} leaves the tree: write a path from the root")
        if not re.fullmatch(r'["<][^"<>]*[">]', target):
            yield Finding(one.line, f"#include {target[:40]}: a macro may name any file: write the name itself")
        elif not re.search(r'(\.hh?|\.inc|[<"/][^.]*)[">]$', target):
            yield Finding(one.line, f"#include {target} is no header: a task stands alone in its file")
        if re.match(r'["<](gtest|gmock)/', target):
            yield Finding(one.line, "the tests' own library is no part of a task: leave its header out")
    elif one.name == "pragma":
        yield from _pragma(" ".join(token.text for token in one.words), one.line)


def _pragma(words: str, line: int) -> Iterator[Finding]:
    words = words.replace(" - ", "-")
    if not HARMLESS_PRAGMAS.fullmatch(words.strip()):
        yield Finding(line, f"#pragma {words[:40]} changes how code is made: leave it out")


def _words(found: list[Token]) -> Iterator[Finding]:
    for i, token in enumerate(found):
        if token.text == "<:":
            yield Finding(token.line, "<: is another spelling of [: write that")
        if token.kind != "word":
            continue
        word = token.text
        if word in ASSEMBLY:
            yield Finding(token.line, f"{word}: a task in C++ has no assembly in any form: use what kern/arch/arch.hh has")
        elif word in STACK:
            yield Finding(token.line, f"{word} reaches into the caller's frame: leave it out")
        elif word in SEGMENTS:
            yield Finding(token.line, f"{word}: a task has nothing of a thread's own: leave it out")
        elif FLAVOUR.fullmatch(word):
            yield Finding(token.line, f"{word}: an answer is the same in the kernel and under a sanitizer: leave it out")
        elif word == "_Pragma" and i + 2 < len(found):
            literal = found[i + 2].text.partition('"')[2].rpartition('"')[0].replace('\\"', '"')
            yield from _pragma(literal, token.line)
        elif word == "__pragma":
            yield Finding(token.line, "__pragma changes how code is made: leave it out")
    yield from _attributes(found)


def _attributes(found: list[Token]) -> Iterator[Finding]:
    """The names of attributes that change what code is or when it runs."""
    i = 0
    while i < len(found):
        token = found[i]
        if token.text in ("__attribute__", "__attribute", "__declspec"):
            opens, closes, depth, i = "(", ")", 0, i + 1
        elif token.text == "[[" or (token.text == "[" and i + 1 < len(found) and found[i + 1].text == "["):
            opens, closes, depth = "[", "]", 0
        else:
            i += 1
            continue
        while i < len(found):
            text = found[i].text
            depth += text.count(opens) - text.count(closes) if found[i].kind == "punctuation" else 0
            if found[i].kind == "word" and ATTRIBUTES.fullmatch(text):
                yield Finding(found[i].line, f"the attribute {text} changes what code is or when it runs: leave it out")
            i += 1
            if depth <= 0:
                break


_MARKER = re.compile(r'^# (\d+) "((?:[^"\\]|\\.)*)"')


def own_lines(preprocessed: str, name: str) -> list[tuple[int, str]]:
    """The lines of a preprocessed text that come from the file itself, with their numbers."""
    out = []
    mine, number = False, 0
    for line in preprocessed.split("\n"):
        marker = _MARKER.match(line)
        if marker:
            number, mine = int(marker[1]), marker[2] == name
            continue
        if mine and line.strip():
            out.append((number, line))
        number += 1
    return out


def preprocessed_findings(by_flavour: Mapping[str, str], name: str) -> list[Finding]:
    """What the file's own lines may not hold once macros are replaced, and where flavours
    differ."""
    lines = {flavour: own_lines(text, name) for flavour, text in by_flavour.items()}
    out = []
    (first, ground), *others = lines.items()
    numbers = [number for number, _ in ground]
    out += [Finding(numbers[one.line - 1], one.text) for one in _words(tokens("\n".join(line for _, line in ground)))]
    for number, line in ground:
        if (one := re.match(r"\s*#\s*pragma\s+(.*)", line)) is not None:
            out += list(_pragma(" ".join(one[1].split()), number))
    for flavour, mine in others:
        if [line.split() for _, line in mine] != [line.split() for _, line in ground]:
            differs = next((a[0] for a, b in zip(mine, ground) if a[1].split() != b[1].split()),
                           (mine or ground or [(0, "")])[-1][0])
            out.append(Finding(differs, f"the code differs between {first} and {flavour}: what is tested must be what runs"))
    return sorted(set(out), key=lambda one: one.line)
