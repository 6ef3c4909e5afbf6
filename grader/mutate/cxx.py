# SPDX-License-Identifier: MIT
"""Where a C++ file can be changed as a student might get it wrong: sites on clang's AST, edits at
their extents.

What does not compile is nobody's mistake, so a rule may offer more than is possible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader import CannotRun
from grader.mutate.edits import Edit

OTHER_OPERATORS = {
    "<": ("<=",), "<=": ("<",), ">": (">=",), ">=": (">",),
    "==": ("!=", ">=", "<="), "!=": ("==", "<", ">"),
    "&&": ("||",), "||": ("&&",), "+": ("-",), "-": ("+",), "*": ("+",), "/": ("%",), "%": ("/",),
    "&": ("|",), "|": ("&",), "<<": (">>",), ">>": ("<<",), "+=": ("=",), "-=": ("=",),
}  # fmt: skip
DROPPED = {"&&": "a condition dropped", "||": "a condition dropped", "|": "a flag or right dropped",
           "&": "a mask dropped"}
WIDTHS = (32, 16, 8)
WIDE = ("ULONG", "ULONGLONG")
STATEMENTS = ("CALL_EXPR", "UNEXPOSED_EXPR", "BINARY_OPERATOR", "COMPOUND_ASSIGNMENT_OPERATOR", "UNARY_OPERATOR",
              "CSTYLE_CAST_EXPR", "CONTINUE_STMT", "BREAK_STMT")
LOOPS = ("FOR_STMT", "WHILE_STMT", "DO_STMT", "CXX_FOR_RANGE_STMT")


def edits(path: Path, text: str, flags: list[str]) -> list[Edit]:
    """All edits of the file, in the order of its text. `flags` are its compiler's."""
    try:
        from clang import cindex
    except ImportError as problem:
        raise CannotRun(f"{problem}\n  mend: apt-get install python3-clang-19") from problem
    unit = cindex.Index.create().parse(str(path), args=[*flags, "-fsyntax-only"], unsaved_files=[(str(path), text)])
    errors = [str(one) for one in unit.diagnostics if one.severity >= cindex.Diagnostic.Error]
    if errors:
        raise CannotRun(f"clang cannot read {path}:\n  " + "\n  ".join(errors[:3]))
    found = _File(text, str(path))
    found.visit(unit.cursor, [])
    unique: dict[str, Edit] = {}
    for edit in found.edits:
        unique.setdefault(edit.apply(text), edit)
    unique.pop(text, None)
    return sorted(unique.values(), key=lambda edit: (edit.begin, edit.end, edit.milder is not None))


@dataclass
class _Binary:
    """`left operator right`, of built-in types or not."""

    left: Any
    operator: str
    at: int
    right: Any


class _File:
    """The edits of one file, by one walk over its cursors."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.edits: list[Edit] = []
        self.rules: dict[str, list[Callable[[Any, list[Any]], None]]] = {
            "IF_STMT": [self.check], "WHILE_STMT": [self.while_loop], "DO_STMT": [self.do_loop],
            "FOR_STMT": [self.for_loop], "CXX_FOR_RANGE_STMT": [self.range_loop],
            "CONDITIONAL_OPERATOR": [self.choice],
            "BINARY_OPERATOR": [self.binary, self.wide], "COMPOUND_ASSIGNMENT_OPERATOR": [self.binary],
            "CALL_EXPR": [self.binary, self.arguments, self.wide],
            "UNARY_OPERATOR": [self.unary], "INTEGER_LITERAL": [self.literal], "CXX_BOOL_LITERAL_EXPR": [self.boolean],
            "DECL_REF_EXPR": [self.constant, self.wide], "MEMBER_REF_EXPR": [self.field, self.wide],
            "INIT_LIST_EXPR": [self.fields], "COMPOUND_STMT": [self.block], "VAR_DECL": [self.variable],
        }  # fmt: skip

    def visit(self, cursor: Any, parents: list[Any]) -> None:
        for child in cursor.get_children():
            if parents or (child.location.file and child.location.file.name == self.name):
                kind = child.kind.name
                if kind == "STATIC_ASSERT":
                    continue
                if self.is_here(child):
                    for rule in self.rules.get(kind, []):
                        rule(child, [*parents, cursor])
                    if kind in STATEMENTS and cursor.kind.name in (*LOOPS, "IF_STMT", "COMPOUND_STMT"):
                        self.statement(child, cursor)
                self.visit(child, [*parents, cursor])

    # -- what stands where -----------------------------------------------------------------------

    def is_here(self, cursor: Any) -> bool:
        return cursor.extent.start.file is not None and cursor.extent.start.file.name == self.name

    def of(self, cursor: Any) -> str:
        return self.text[self.begin(cursor):self.end(cursor)]

    def begin(self, cursor: Any) -> int:
        return int(cursor.extent.start.offset)

    def end(self, cursor: Any) -> int:
        return int(cursor.extent.end.offset)

    def replace(self, cursor: Any, new: str, what: str, milder: Edit | None = None) -> Edit:
        return self.add(self.begin(cursor), self.end(cursor), new, what, milder)

    def add(self, begin: int, end: int, new: str, what: str, milder: Edit | None = None) -> Edit:
        edit = Edit(begin, end, new, what, milder)
        self.edits.append(edit)
        return edit

    def kids(self, cursor: Any) -> list[Any]:
        """The children that have a place in this file."""
        return [child for child in cursor.get_children() if self.is_here(child) and self.of(child)]

    # -- statements ------------------------------------------------------------------------------

    def check(self, cursor: Any, _: list[Any]) -> None:
        first, *rest = self.kids(cursor)
        condition = first
        if first.kind.name in ("DECL_STMT", "VAR_DECL"):
            condition = rest.pop(0)
            self.replace(condition, "false", "a check dropped")
        self.replace(cursor, "{}", "a check dropped")
        self.negate(condition)
        if len(rest) == 2:
            self.add(self.end(rest[0]) + (self.text[self.end(rest[0])] == ";"), self.end(rest[1]),
                     " else {}" if rest[1].kind.name == "COMPOUND_STMT" else " else (void)0", "an else branch dropped")

    def negate(self, condition: Any) -> None:
        if condition.kind.name == "UNARY_OPERATOR" and self.of(condition).startswith("!"):
            return  # another rule drops the !
        if condition.kind.name == "BINARY_OPERATOR" and (found := self.split(condition)) and found.operator in ("==", "!="):
            return  # another rule turns it
        self.replace(condition, f"!({self.of(condition)})", "a condition negated")

    def choice(self, cursor: Any, _: list[Any]) -> None:
        condition, yes, no = self.kids(cursor)
        self.negate(condition)
        self.replace(cursor, f"({self.of(yes)})", "a choice not made")
        self.replace(cursor, f"({self.of(no)})", "a choice not made")

    def while_loop(self, cursor: Any, _: list[Any]) -> None:
        condition = self.kids(cursor)[0]
        self.negate(condition)
        self.add(self.begin(cursor), self.begin(cursor) + len("while"), "if", "a loop runs once")

    def do_loop(self, cursor: Any, _: list[Any]) -> None:
        condition = self.kids(cursor)[-1]
        self.replace(condition, "false", "a loop runs once")
        self.negate(condition)

    def for_loop(self, cursor: Any, _: list[Any]) -> None:
        body = self.kids(cursor)[-1]
        head = self.text[self.begin(cursor):self.begin(body)]
        start = self.begin(cursor) + head.index("(") + 1
        parts = self.text[start:self.begin(cursor) + head.rindex(")")].split(";")
        if len(parts) != 3:
            return
        step = _step(parts[2].strip())
        condition = start + len(parts[0]) + 1
        text = parts[1].strip()
        compared = re.match(r"(\S+)( (?:<|<=|>|>=|!=) .*)", text)
        if step and compared:
            self.add(condition, condition + len(parts[1]), f" {compared[1]} {step}{compared[2]}", "a loop ends one early")
        if step:
            begun = re.match(r"(.*) = (.*)", parts[0])
            braced = re.match(r"(.*)\{(.*)\}", parts[0])
            if begun:
                self.add(start, start + len(parts[0]), f"{begun[1]} = ({begun[2]}) {step}", "a loop begins one late")
            elif braced:
                self.add(start, start + len(parts[0]), f"{braced[1]}{{({braced[2]}) {step}}}", "a loop begins one late")
        if text:
            self.add(condition, condition + len(parts[1]), " false", "a loop does not run")
        self.once(body)

    def once(self, body: Any) -> None:
        if body.kind.name == "COMPOUND_STMT":
            self.add(self.end(body) - 1, self.end(body), " break; }", "a loop runs once")
        else:
            self.replace(body, f"{{ {self.of(body)}; break; }}", "a loop runs once")

    def range_loop(self, cursor: Any, _: list[Any]) -> None:
        body = self.kids(cursor)[-1]
        head = re.match(r"for \((?:.*; )?[^;:]*&(\w+) : (.*)\)\s*$|for \((?:.*; )?[^;:]*& (\w+) : (.*)\)\s*$",
                        self.text[self.begin(cursor):self.begin(body)], re.DOTALL)
        self.once(body)
        if head is None:
            return
        name, of = head[1] or head[3], head[2] or head[4]
        inner = self.of(body) + ";" * (body.kind.name != "COMPOUND_STMT")
        self.replace(body, f"{{ if (&{name} == &*std::begin({of})) continue; {inner} }}", "a loop begins one late")
        self.replace(body, f"{{ if (&{name} == &*(std::end({of}) - 1)) continue; {inner} }}", "a loop ends one early")

    def statement(self, cursor: Any, parent: Any) -> None:
        if parent.kind.name != "COMPOUND_STMT":
            kids = self.kids(parent)
            bodies = kids[-1:] if parent.kind.name in LOOPS else kids[1:]
            if cursor not in bodies or self.text[self.end(cursor):self.end(cursor) + 1] != ";":
                return
        self.replace(cursor, "(void)0", "a statement dropped")

    def block(self, cursor: Any, parents: list[Any]) -> None:
        kids = self.kids(cursor)
        for one, two in zip(kids, kids[1:]):
            if all(kid.kind.name == "IF_STMT" and "return" in self.of(kid) for kid in (one, two)):
                begin, end = self.begin(one), self.end(two)
                close = self.text[self.end(one):self.begin(two)]
                self.add(begin, end, f"{self.of(two)}{';' * (not self.of(two).endswith('}'))} "
                         f"{self.of(one)}{close.strip() and ''}", "the order of two checks exchanged")
        if parents[-1].kind.name in ("FUNCTION_DECL", "CXX_METHOD", "FUNCTION_TEMPLATE"):
            self.leaks(cursor)

    def leaks(self, body: Any) -> None:
        """What is released at the end is released on one more path, and so nobody gives it back
        there."""
        for released in set(re.findall(r"\b(\w+(?:->|\.)release\(\));", self.of(body))):
            name = re.match(r"\w+", released)
            for found in _all(body, "RETURN_STMT"):
                made = re.search(rf"auto {name[0] if name else ''} = ", self.text[:self.begin(found)])
                if made:
                    self.replace(found, f"{{ (void){released}; {self.of(found)}; }}", "an undo dropped on one path")

    def variable(self, cursor: Any, parents: list[Any]) -> None:
        where = [parent.kind.name for parent in parents]
        if "COMPOUND_STMT" not in where or parents[-1].kind.name in LOOPS or "static " in self.of(cursor):
            return
        if len(parents) < 2 or parents[-2].kind.name not in (*LOOPS, "STRUCT_DECL", "CLASS_DECL"):
            self.add(self.begin(cursor), self.begin(cursor), "static ", "a local is static")
        values = [kid for kid in self.kids(cursor) if kid.kind.is_expression()]
        if not values:
            return
        value = values[-1]
        made, type_name = self.of(value), cursor.type.get_canonical().spelling
        if cursor.type.get_canonical().kind.name == "BOOL":
            self.negate(value)
        call = made.endswith(")") and not made.startswith("(")
        if call and "expected<" in type_name:
            self.replace(value, f"[&] {{ auto once = {made}; return once ? std::move(once) : {made}; }}()", "a retry added")
        elif call and cursor.type.get_canonical().kind.name in ("LONG", "LONGLONG"):
            self.replace(value, f"[&] {{ const auto once = {made}; return once < 0 ? {made} : once; }}()", "a retry added")

    # -- expressions -----------------------------------------------------------------------------

    def binary(self, cursor: Any, parents: list[Any]) -> None:
        found = self.split(cursor)
        if found is None:
            return
        operator, at = found.operator, found.at
        for other in OTHER_OPERATORS.get(operator, ()):
            self.add(at, at + len(operator), other, f"{operator} is {other}")
        if what := DROPPED.get(operator):
            begin, end = self.begin(found.left), self.end(found.right)
            self.add(begin, end, self.of(found.left), what)
            if operator != "&":
                self.add(begin, end, self.of(found.right), what)

    def split(self, cursor: Any) -> _Binary | None:
        kids = self.kids(cursor)
        if cursor.kind.name != "CALL_EXPR":
            if len(kids) != 2:
                return None
            between = self.text[self.end(kids[0]):self.begin(kids[1])]
            operator = between.split("//")[0].strip()
            return _Binary(kids[0], operator, self.end(kids[0]) + between.index(operator), kids[1])
        for left, middle, right in zip(kids, kids[1:], kids[2:]):
            operator = self.of(middle)
            if operator in OTHER_OPERATORS and self.end(left) <= self.begin(middle) <= self.begin(right):
                return _Binary(left, operator, self.begin(middle), right)
        return None

    def unary(self, cursor: Any, _: list[Any]) -> None:
        text = self.of(cursor)
        if text[0] in "!~":
            self.replace(cursor, f"({text[1:]})" if text[0] == "~" else text[1:], f"a {text[0]} dropped")
        elif text.endswith("++"):
            self.replace(cursor, f"++{text[:-2]}", "counted before, not after")
            self.replace(cursor, text[:-2], "not counted")

    def literal(self, cursor: Any, parents: list[Any]) -> None:
        text = self.of(cursor)
        holder = next(one for one in reversed(parents) if one.kind.name != "UNEXPOSED_EXPR")
        compared = holder.kind.name == "BINARY_OPERATOR" and (found := self.split(holder)) and found.operator in ("<", "<=", ">", ">=")
        if text[:1].isdigit() and not compared:  # a comparison is shifted by its operator
            self.replace(cursor, f"({text} + 1)", "a constant one more")
            if text != "0":
                self.replace(cursor, f"({text} - 1)", "a constant one less")

    def boolean(self, cursor: Any, _: list[Any]) -> None:
        self.replace(cursor, "false" if self.of(cursor) == "true" else "true", "a truth value turned")

    def constant(self, cursor: Any, _: list[Any]) -> None:
        declared = cursor.referenced
        if declared is None or declared.semantic_parent is None or self.of(cursor).startswith("operator"):
            return
        kind, scope = declared.kind.name, declared.semantic_parent
        if kind == "VAR_DECL" and scope.kind.name in ("NAMESPACE", "STRUCT_DECL", "CLASS_DECL"):
            if declared.type.get_canonical().kind.name != "BOOL":
                self.replace(cursor, f"({self.of(cursor)} + 1)", "a constant one more")
                self.replace(cursor, f"({self.of(cursor)} - 1)", "a constant one less")
        elif kind != "ENUM_CONSTANT_DECL":
            return
        alike = [one for one in scope.get_children() if one.kind.name == kind and one.location.file
                 and one.location.file.name == declared.location.file.name
                 and one.type.get_canonical() == declared.type.get_canonical()]
        names = [one.spelling for one in alike]
        if declared.spelling in names:
            at = names.index(declared.spelling)
            for other in dict.fromkeys((names[at - 1], names[(at + 1) % len(names)])):
                if other != declared.spelling:
                    new = re.sub(rf"\b{declared.spelling}$", other, self.of(cursor))
                    self.replace(cursor, new, "another constant")

    def field(self, cursor: Any, _: list[Any]) -> None:
        declared = cursor.referenced
        if declared is None or declared.kind.name != "FIELD_DECL" or self.of(cursor).endswith(")"):
            return
        alike = [one.spelling for one in declared.semantic_parent.get_children() if one.kind.name == "FIELD_DECL"
                 and one.type.get_canonical() == declared.type.get_canonical()]
        if declared.spelling in alike and len(alike) > 1:
            other = alike[(alike.index(declared.spelling) + 1) % len(alike)]
            self.replace(cursor, re.sub(rf"\b{declared.spelling}$", other, self.of(cursor)), "another field")

    def fields(self, cursor: Any, _: list[Any]) -> None:
        """Designated initialisers: each truth value is the other one or always the same."""
        for kid in self.kids(cursor):
            inner = self.kids(kid)
            if len(inner) == 2 and inner[0].kind.name == "MEMBER_REF" and inner[0].type.kind.name == "BOOL":
                self.replace(inner[1], "true", "a right widened")
                self.replace(inner[1], "false", "a right narrowed")

    def arguments(self, cursor: Any, _: list[Any]) -> None:
        given = [one for one in cursor.get_arguments() if one is not None and self.is_here(one) and self.of(one)]
        for one, two in zip(given, given[1:]):
            between = self.text[self.end(one):self.begin(two)]
            if between.strip() == "," and _class(one) == _class(two) != "":
                self.add(self.begin(one), self.end(two), f"{self.of(two)}{between}{self.of(one)}", "arguments swapped")

    def wide(self, cursor: Any, parents: list[Any]) -> None:
        """A value of 64 bits goes through a narrower type: an address or a size. What has a sign is
        an answer, and its errors and counts fit into any type."""
        parent = parents[-1]
        kind = cursor.type.get_canonical().kind.name
        dependent = kind == "DEPENDENT" and cursor.kind.name == "MEMBER_REF_EXPR"
        if kind not in WIDE and not dependent:
            return
        text = self.of(cursor)
        declared = cursor.referenced if cursor.kind.name == "DECL_REF_EXPR" else None
        if cursor.kind.name == "DECL_REF_EXPR" and (declared is None or declared.kind.name != "PARM_DECL"):
            return  # what was computed here is narrowed where that is done
        if parent.kind.name in ("UNARY_OPERATOR", "COMPOUND_ASSIGNMENT_OPERATOR") or (
                cursor.kind.name == "BINARY_OPERATOR" and parent.kind.name != "VAR_DECL"):
            return
        milder = None
        for bits in WIDTHS:
            milder = self.replace(cursor, f"static_cast<std::uint{bits}_t>({text})", f"{bits} bits wide", milder)


def _step(increment: str) -> str:
    """What a loop adds each time, as ` + 1`; empty if it cannot be told."""
    if increment.startswith(("++", "--")) or increment.endswith(("++", "--")):
        return "+ 1" if "++" in increment else "- 1"
    found = re.match(r"\w+ ([+-])= (.*)", increment)
    return f"{found[1]} {found[2]}" if found else ""


def _class(cursor: Any) -> str:
    """Arguments of the same class can stand in each other's place."""
    kind = cursor.type.get_canonical()
    name = kind.get_pointee() if kind.kind.name in ("LVALUEREFERENCE", "RVALUEREFERENCE") else kind
    if name.kind.name in (*WIDE, "LONG", "LONGLONG", "INT", "UINT", "SHORT", "USHORT", "UCHAR"):
        return "an integer"
    return str(name.get_canonical().spelling).replace("const ", "")


def _all(cursor: Any, kind: str) -> Iterator[Any]:
    for child in cursor.get_children():
        if child.kind.name == kind:
            yield child
        if child.kind.name != "LAMBDA_EXPR":
            yield from _all(child, kind)
