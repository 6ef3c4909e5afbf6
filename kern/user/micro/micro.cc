// SPDX-License-Identifier: MIT
#include "kern/user/micro/micro.hh"

namespace micro {

// NOLINTBEGIN(misc-const-correctness): the instruction changes these variables
Message system_call(SystemCall call, std::uint64_t address, const Message& message) {
    constexpr unsigned count_shift = 32;
    auto status = static_cast<std::uint64_t>(call);
    std::uint64_t badge = address, label = message.label;
    std::uint64_t lengths = message.length | message.capabilities << count_shift;
    register std::uint64_t word_0 asm("r8") = message.words[0];
    register std::uint64_t word_1 asm("r9") = message.words[1];
    register std::uint64_t word_2 asm("r10") = message.words[2];
    register std::uint64_t word_3 asm("r12") = message.words[3];
    asm volatile("syscall"
                 : "+a"(status), "+D"(badge), "+S"(label), "+d"(lengths), "+r"(word_0),
                   "+r"(word_1), "+r"(word_2), "+r"(word_3)
                 :
                 : "rcx", "r11", "memory");
    return {.label = label,
            .length = lengths & 0xffff'ffff,
            .capabilities = lengths >> count_shift,
            .words = {word_0, word_1, word_2, word_3},
            .badge = badge,
            .status = static_cast<Status>(status)};
}
// NOLINTEND(misc-const-correctness)

}  // namespace micro
