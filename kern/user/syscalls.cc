// SPDX-License-Identifier: MIT
// The system calls as functions.
#include <algorithm>

#include "kern/user/user.hh"

namespace user {

// NOLINTBEGIN(misc-const-correctness): the instruction changes these variables
std::int64_t system_call(std::uint64_t number, std::uint64_t first, std::uint64_t second,
                         std::uint64_t third, std::uint64_t fourth, std::uint64_t fifth) {
    std::int64_t answer;
    register std::uint64_t r10 asm("r10") = fourth;
    register std::uint64_t r8 asm("r8") = fifth;
    // A call may leave its further answers in RDX and R8.
    asm volatile("syscall"
                 : "=a"(answer), "+d"(third), "+r"(r8)
                 : "a"(number), "D"(first), "S"(second), "r"(r10)
                 : "rcx", "r11", "memory");
    return answer;
}

// NOLINTEND(misc-const-correctness)

void exit(std::uint64_t status) {
    system_call(Number::exit, status);
    __builtin_trap();
}
void yield() {
    system_call(Number::yield);
}
std::int64_t env_id() {
    return system_call(Number::env_id);
}
std::uint64_t time() {
    return static_cast<std::uint64_t>(system_call(Number::time));
}

std::int64_t open(std::string_view name) {
    return system_call(Number::open, address_of(name.data()), name.size());
}
std::int64_t read(std::int64_t file, std::span<std::byte> out) {
    return system_call(Number::read, static_cast<std::uint64_t>(file), address_of(out.data()),
                       out.size());
}

std::int64_t seek(std::int64_t file, std::uint64_t offset) {
    return system_call(Number::seek, static_cast<std::uint64_t>(file), offset);
}

std::int64_t page_alloc(std::uint64_t address, std::uint64_t rights) {
    return system_call(Number::page_alloc, address, rights);
}
std::int64_t page_map(std::uint64_t from, std::uint64_t to, std::uint64_t rights) {
    return system_call(Number::page_map, from, to, rights);
}
std::int64_t page_unmap(std::uint64_t address) {
    return system_call(Number::page_unmap, address);
}

// NOLINTBEGIN(misc-const-correctness)
Message receive(std::uint64_t page) {
    Message message{};
    register std::uint64_t r8 asm("r8") = 0;
    asm volatile("syscall"
                 : "=a"(message.sender), "=d"(message.value), "+r"(r8)
                 : "a"(Number::ipc_receive), "D"(page)
                 : "rcx", "r11", "memory");
    message.rights = r8;
    return message;
}
Ended wait(std::int64_t program) {
    Ended ended{};
    asm volatile("syscall"
                 : "=a"(ended.outcome), "=d"(ended.status)
                 : "a"(Number::wait), "D"(program)
                 : "rcx", "r11", "memory");
    return ended;
}
// NOLINTEND(misc-const-correctness)
std::int64_t send(std::int64_t to, std::uint64_t value, std::uint64_t page, std::uint64_t rights) {
    for (;;) {
        const auto answer =
            system_call(Number::ipc_try_send, static_cast<std::uint64_t>(to), value, page, rights);
        if (answer != error(Failure::busy)) return answer;
        yield();
    }
}

std::int64_t spawn(std::string_view file, std::string_view arguments) {
    return system_call(Number::spawn, address_of(file.data()), file.size(),
                       address_of(arguments.data()), arguments.size());
}
std::int64_t parent_id() {
    return system_call(Number::parent_id);
}

void print(std::string_view text) {
    while (!text.empty()) {
        const auto piece =
            text.substr(0, std::min<std::uint64_t>(text.size(), kern::syscall::longest_write));
        if (system_call(Number::console_write, address_of(piece.data()), piece.size()) < 0) return;
        text.remove_prefix(piece.size());
    }
}

}  // namespace user
