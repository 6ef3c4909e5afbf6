// SPDX-License-Identifier: MIT
// Enters the kernel as no honest program does: with any stack pointer and any flags, by any
// instruction that might leave ring 3. `way=NAME`, `rsp=`, `flags=` and `iretq=` say how; without
// `way=` all are drawn at random. Each way ends by a fault.
#include <array>
#include <cstdint>
#include <string_view>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

namespace {

/// A single step comes behind the instruction that follows the one which sets TF: so that one must
/// be the way's. It is either POPFQ, with which every way begins, or an IRETQ to what follows it,
/// which also takes RSP along.
asm(R"(
    .text
    .global enter_with
    .type enter_with, @function
enter_with:                            # (way, rsp, flags, by_iretq)
    mov %ecx, %r8d
    mov $15, %eax                      # the system call `nothing`
    mov $0x1b, %ecx                    # this program's SS
    test %r8d, %r8d
    jnz 1f
    push %rdx
    test $0x100, %edx
    jz 2f
    jmp *%rdi
1:  inc %rdi
    push %rcx
    push %rsi
    push %rdx
    push $0x23                         # its CS
    push %rdi
    iretq
2:  inc %rdi
    popfq
    mov %rsi, %rsp
    jmp *%rdi
    .size enter_with, . - enter_with

    .global behind_syscall
    .macro way name
    .global way_\name
way_\name:
    popfq
    .endm
    way mov_ss
    mov %ecx, %ss                      # holds interrupts and steps back for one instruction
    jmp 1f
    way gs
    mov %ecx, %gs                      # SWAPGS meets the base that a selector gives
    jmp 1f
    way wrgsbase
    mov $0xffffffff80000000, %rdx
    wrgsbase %rdx
    jmp 1f
    way syscall
1:  syscall
    nop
behind_syscall:
    ud2

    way mov_ss_syscall
    mov %ecx, %ss
    syscall
    nop
    ud2
    way icebp
    .byte 0xf1
    ud2
    way int3
    int3
    ud2
    way mov_ss_int3
    mov %ecx, %ss
    int3
    ud2
    way int4
    int $4
    ud2
    way int80
    int $0x80
    ud2
    way sysenter
    sysenter
    ud2
    way sysret
    sysretq
    ud2
    way iretq                          # to whatever is at RSP
    iretq
    ud2
    way swapgs
    swapgs
    ud2
    way far_call
    .byte 0x48  # REX.W, which clang knows by no name
    lcall *kernel_code
    ud2
    way far_jump
    .byte 0x48
    ljmp *kernel_task
    ud2
    way mov_dr7
    mov %rdx, %dr7
    ud2
    way ltr
    ltr %cx
    ud2

    .section .rodata
kernel_code:
    .quad 0xffffffff80100000
    .word 0x08
kernel_task:
    .quad 0
    .word 0x28
    .text
)");

extern "C" {
[[noreturn]] void enter_with(const char* way, std::uint64_t rsp, std::uint64_t flags,
                             bool by_iretq);
extern const char way_mov_ss[], way_gs[], way_wrgsbase[], way_syscall[], way_mov_ss_syscall[],
    way_icebp[], way_int3[], way_mov_ss_int3[], way_int4[], way_int80[], way_sysenter[],
    way_sysret[], way_iretq[], way_swapgs[], way_far_call[], way_far_jump[], way_mov_dr7[],
    way_ltr[];
}

struct Way {
    std::string_view name;
    const char* code;
};
constexpr std::array<Way, 18> ways{{
    {"mov_ss", way_mov_ss},
    {"gs", way_gs},
    {"wrgsbase", way_wrgsbase},
    {"syscall", way_syscall},
    {"mov_ss_syscall", way_mov_ss_syscall},
    {"icebp", way_icebp},
    {"int3", way_int3},
    {"mov_ss_int3", way_mov_ss_int3},
    {"int4", way_int4},
    {"int80", way_int80},
    {"sysenter", way_sysenter},
    {"sysret", way_sysret},
    {"iretq", way_iretq},
    {"swapgs", way_swapgs},
    {"far_call", way_far_call},
    {"far_jump", way_far_jump},
    {"mov_dr7", way_mov_dr7},
    {"ltr", way_ltr},
}};

constexpr std::array<std::uint64_t, 10> stack_pointers{
    0,
    0x2000,                 // this program's own stack
    0x40'0800,              // its code
    0x7fff'ffff'f000,       // the end of the lower half
    0x8000'0000'0000'0000,  // not canonical
    0xffff'8000'0020'0000,  // the kernel's map of physical memory
    0xffff'9000'0001'0000,  // its stacks
    0xffff'ffff'8010'1000,  // its image
    0xffff'ffff'ffff'fff8,
    ~0ULL,
};
constexpr std::uint64_t any_flags = 0x24'4dd5;  // CF PF AF ZF SF TF DF OF NT AC ID

[[noreturn]] void enter_somehow() {
    std::uint64_t state = user::argument("key", 1) ^ static_cast<std::uint64_t>(user::env_id());
    const auto draw = [&state](std::uint64_t bound) {
        return user::scramble(state += 0x9e37'79b9'7f4a'7c15) % bound;
    };
    const Way& way = ways[draw(ways.size())];
    const std::uint64_t rsp = stack_pointers[draw(stack_pointers.size())] - draw(4) * draw(64);
    const std::uint64_t flags = draw(~0ULL) & any_flags;
    enter_with(way.code, rsp, flags, draw(2) == 0);
}

}  // namespace

extern "C" void main() {
    constexpr std::string_view key = "way=";
    std::string_view name = user::arguments();
    const auto at = name.find(key);
    if (at == std::string_view::npos) enter_somehow();
    name.remove_prefix(at + key.size());
    name = name.substr(0, name.find(' '));
    for (const Way& way : ways)
        if (way.name == name)
            enter_with(way.code, user::argument("rsp", 0), user::argument("flags", 0),
                       user::argument("iretq", 0) != 0);
    user::require(false, "there is no such way");
}
