# SPDX-License-Identifier: MIT
"""Right answers in many styles, made from parts: what a student may write, and the gate must let
in.

Each is the reference to make_iret_frame, whose header is small, with a computation in one style
before it. Styles and what they compute with are crossed, so there are more than 200 of them.
"""

from __future__ import annotations

from collections.abc import Iterator

TASK_FILE = "kern/proc/make_iret_frame.cc"

STYLES = {
    "lambda": ("", "const auto f = [k = {n}UL]({t} x) {{ return static_cast<{t}>(x * k + 1); }}; out = f(in);"),
    "generic_lambda": ("", "const auto f = []<class T>(T x) {{ return static_cast<T>(x + {n}); }}; out = f(in);"),
    "constexpr_table": ("#include <array>\n",
                        "static constexpr std::array<{t}, 4> table{{{n} % 100, 2, 3, 4}}; out = table[in % 4];"),
    "const_table": ("", "static const {t} table[]{{{n} % 100, 5, 6, 7, 8}}; out = table[in % 5];"),
    "switch": ("", "switch (in % 11) {{ case 0: out = 3; break; case 1: out = 17; break; case 2: out = 4; break; case 3: "
                   "out = 99; break; case 4: out = {n} % 90; break; case 5: out = 1; break; case 6: out = 8; break; "
                   "default: out = in; }}"),
    "dispatch": ("", "using F = {t} (*)({t}); static constexpr F all[]{{+[]({t} x) {{ return x; }}, "
                     "+[]({t} x) {{ return static_cast<{t}>(x + {n} % 50); }}}}; out = all[in % 2](in);"),
    "local_struct": ("", "struct Pair {{ {t} a; {t} b = {n} % 100; {t} sum() const {{ return static_cast<{t}>(a + b); }} }}; "
                         "out = Pair{{in}}.sum();"),
    "optional": ("#include <optional>\n", "const std::optional<{t}> maybe = in ? std::optional<{t}>{{in}} : std::nullopt; "
                                          "out = maybe.value_or({n} % 100);"),
    "expected": ("#include <expected>\n", "const auto f = []({t} x) -> std::expected<{t}, int> {{ if (x == 0) return "
                                          "std::unexpected({n}); return x; }}; const auto r = f(in); out = r ? *r : 1;"),
    "span": ("#include <array>\n#include <span>\n", "std::array<{t}, 8> a{{}}; std::span<{t}> s{{a}}; for (auto& x : s) x = in; "
                                                   "out = s[{n} % 8];"),
    "algorithm": ("#include <algorithm>\n#include <array>\n", "std::array<{t}, 5> a{{in, 4, 3, 2, {n} % 100}}; std::ranges::sort(a); "
                                                             "out = *std::ranges::max_element(a);"),
    "bit_cast": ("#include <bit>\n#include <array>\n", "const auto b = std::bit_cast<std::array<unsigned char, sizeof({t})>>(in); "
                                                      "out = static_cast<{t}>(b[0] + {n} % 90);"),
    "bits": ("#include <bit>\n", "out = static_cast<{t}>(std::bit_width(in) + std::countl_zero(in) + {n} % 9);"),
    "atomic_ref": ("#include <atomic>\n", "alignas(8) {t} word = in; std::atomic_ref<{t}> a{{word}}; a.fetch_add({n} % 50); out = a.load();"),
    "compare_exchange": ("#include <atomic>\n", "std::atomic<{t}> a{{in}}; {t} old = in; while (!a.compare_exchange_weak(old, "
                                                "static_cast<{t}>(old + {n} % 60))) {{}} out = a.load();"),
    "fence": ("#include <atomic>\n", "std::atomic_signal_fence(std::memory_order_seq_cst); out = static_cast<{t}>(in + {n} % 60);"),
    "goto": ("", "unsigned i = 0; again: out = static_cast<{t}>(out + in); if (++i < {n} % 7) goto again;"),
    "recursion": ("", "struct R {{ static {t} down({t} n, unsigned deep) {{ return deep == 0 ? n : down(static_cast<{t}>(n / 2), "
                      "deep - 1); }} }}; out = R::down(in, {n} % 6);"),
    "memory": ("#include <cstring>\n", "unsigned char b[64]; std::memset(b, {n} % 200, sizeof b); std::memcpy(&out, b, sizeof out); "
                                       "out = std::memcmp(b, b + 32, 32) ? in : out;"),
    "union": ("", "union U {{ {t} whole; unsigned char part[sizeof({t})]; }} u{{.whole = in}}; out = static_cast<{t}>(u.whole + {n} % 40);"),
    "bit_field": ("", "struct B {{ unsigned low : 9; unsigned high : 12; }} b{{static_cast<unsigned>(in % 512), {n} % 100}}; "
                      "out = static_cast<{t}>(b.low + b.high);"),
    "static_counter": ("", "static {t} calls = {n} % 30; calls = static_cast<{t}>(calls + 1); out = calls;"),
    "variadic": ("", "const auto sum = [](auto... all) {{ return (... + all); }}; out = static_cast<{t}>(sum(in, in, {n} % 70));"),
    "concept": ("#include <concepts>\n", "const auto f = [](std::unsigned_integral auto x) {{ return x; }}; out = static_cast<{t}>(f(in) + {n} % 20);"),
    "range_for": ("#include <initializer_list>\n", "for (const {t} x : {{{t}{{1}}, {t}{{2}}, {t}{{{n} % 100}}}}) out = static_cast<{t}>(out + x * in);"),
    "macro": ("#define MOST(a, b) ((a) > (b) ? (a) : (b))\n", "out = static_cast<{t}>(MOST(in, {t}{{{n} % 100}}));"),
    "condition": ("#if defined(NEST_DEBUG) || 1\n#define STEP 3\n#else\n#define STEP 4\n#endif\n", "out = static_cast<{t}>(in + STEP + {n} % 9);"),
    "attributes": ("", "[[maybe_unused]] const {t} unused = {n} % 100; if (in == 0) [[unlikely]] out = 1; else [[likely]] out = in;"),
    "pragma": ("", "_Pragma(\"GCC unroll 4\") for (unsigned i = 0; i < {n} % 16; ++i) out = static_cast<{t}>(out + i * in);"),
    "tuple": ("#include <tuple>\n", "const auto [a, b] = std::tuple{{in, {t}{{{n} % 100}}}}; out = static_cast<{t}>(a + b);"),
    "pair_reference": ("#include <utility>\n", "{t} a = in, b = {n} % 100; std::swap(a, b); out = std::exchange(a, b);"),
    "string_view": ("#include <string_view>\n", "constexpr std::string_view w{{\"present write user\"}}; out = static_cast<{t}>(w.find('w') + in % 3 + {n} % 9);"),
    "virtual": ("", "struct A {{ virtual {t} f({t}) const = 0; }}; struct B final : A {{ {t} f({t} x) const override {{ return "
                    "static_cast<{t}>(x + {n} % 80); }} }}; const B b; const A& a = b; out = a.f(in);"),
    "crtp": ("", "struct C {{ {t} v; constexpr C operator+(C o) const {{ return {{static_cast<{t}>(v + o.v)}}; }} auto operator<=>(const C&) "
                 "const = default; }}; out = (C{{in}} + C{{{n} % 90}}).v;"),
}  # fmt: skip
TYPES = ("std::uint64_t", "std::uint32_t", "std::uint16_t")
NUMBERS = (7, 4093)

_ANSWER = """// SPDX-License-Identifier: MIT
#include <cstdint>
{head}#include "kern/proc/iret_frame.hh"

namespace kern {{
{helper}
IretFrame make_iret_frame(Uva entry, Uva stack_top) {{
    const {t} seen = {call};
    return {{.rip = entry.value() + (seen - seen),
            .cs = arch::selector::user_code,
            .rflags = rflags::interrupt_enable | rflags::reserved_one,
            .rsp = stack_top.value(),
            .ss = arch::selector::user_data}};
}}

}}  // namespace kern
"""


def answers() -> Iterator[tuple[str, str]]:
    """A name and the text of each."""
    for style, (head, body) in STYLES.items():
        for i, kind in enumerate(TYPES):
            for j, number in enumerate(NUMBERS):
                helper = f"{kind} helper_{style}({kind} in) {{ {kind} out = 0; {body.format(n=number, t=kind)} return out; }}"
                where = ("namespace {{\n{0}\n}}", "static {0}", "{0}")[(i + j) % 3]
                yield f"{style}-{i}{j}", _ANSWER.format(head=head, helper=where.format(helper), t=kind,
                                                        call=f"helper_{style}(static_cast<{kind}>(entry.value()))")
