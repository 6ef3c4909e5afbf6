// SPDX-License-Identifier: MIT
// The rows of `nest bench` of this kernel. The loops make their calls by an instruction in the loop:
// what is compared with them (kern/bench) does so too.
#include "kern/user/micro/bench.hh"

#include <array>
#include <string_view>

#include "kern/user/cycles.hh"
#include "kern/user/micro/root.hh"

namespace micro {
namespace {

using kern::cap::all_rights;
using user::cycles;

constexpr unsigned samples = 9;
constexpr std::uint64_t page_size = 4096, rounds = 500;
constexpr std::uint64_t few = 32, much = 512;  // capabilities
/// What is not in registers goes the long way.
constexpr std::uint64_t short_message = 0, long_message = kern::cap::register_words + 1;
constexpr auto no_call = static_cast<SystemCall>(99);  // the kernel refuses the number at once

/// With a message of so many words, whichever.
[[gnu::always_inline]] inline void bare_call(SystemCall call, std::uint64_t address,
                                             std::uint64_t length) {
    auto number = static_cast<std::uint64_t>(call);
    asm volatile("syscall"
                 : "+a"(number), "+D"(address), "+d"(length)
                 :
                 : "rcx", "rsi", "r8", "r9", "r10", "r11", "r12", "memory");
}

/// How long one call takes, of many.
std::uint64_t time_of(SystemCall call, std::uint64_t address, std::uint64_t length) {
    const std::uint64_t begin = cycles();
    for (std::uint64_t i = 0; i < rounds; ++i) bare_call(call, address, length);
    return (cycles() - begin) / rounds;
}

void sample(std::string_view row, std::string_view side, std::uint64_t value) {
    std::array<char, 20> digits{};
    std::size_t first = digits.size();
    do {
        digits[--first] = static_cast<char>('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (const std::string_view text :
         {std::string_view{"bench "}, row, std::string_view{" "}, side, std::string_view{" "}})
        print(text);
    print({digits.data() + first, digits.size() - first});
    print("\r\n");
}

///@{
/// Children.
void make_calls(std::uint64_t length) {
    call(up, 0, time_of(SystemCall::Call, other, length));
}
void answer_calls(std::uint64_t length) {
    bare_call(SystemCall::Recv, other, 0);
    while (true) bare_call(SystemCall::ReplyRecv, other, length);
}
void touch_pages(std::uint64_t) {
    const std::uint64_t begin = cycles();
    for (std::uint64_t i = 0; i < demanded_pages; ++i)
        *reinterpret_cast<volatile char*>(child_heap + i * page_size) = 1;
    call(up, 0, (cycles() - begin) / demanded_pages);
}
///@}

/// Call and ReplyRecv, there and back.
std::uint64_t time_of_calls(std::uint64_t length) {
    const std::uint64_t end = make(Type::Endpoint), service = make(Type::Endpoint);
    const Child server = make_child(answer_calls, length, end, 4),
                client = make_child(make_calls, length, end, 5);
    give(server, other, service);
    give(client, other, service);
    start(server);
    start(client);
    const std::uint64_t taken = system_call(SystemCall::Recv, end).words[0];
    forget_all();
    return taken;
}

void measure_signals() {
    const std::uint64_t bell = make(Type::Notification), copies = new_slots(much);
    const auto signal = [&](std::uint64_t slot) { return time_of(SystemCall::Send, slot, 0); };
    sample("signal", "ours", signal(bell));
    sample("signal", "refused", time_of(no_call, 0, 0));
    sample("look-up", "few", signal(bell));
    for (std::uint64_t i = 0; i < much; ++i)
        call(own_cnode, Method::Copy, copies + i, bell, all_rights);
    sample("look-up", "many", signal(copies + much - 1));
    forget_all();
}

/// Of each capability of so many.
std::uint64_t time_of_revoking(std::uint64_t count) {
    const std::uint64_t bell = make(Type::Notification), copies = new_slots(count);
    for (std::uint64_t i = 0; i < count; ++i)
        call(own_cnode, Method::Copy, copies + i, bell, all_rights);
    const std::uint64_t begin = cycles();
    call(own_cnode, Method::Revoke, bell);
    const std::uint64_t taken = cycles() - begin;
    forget_all();
    return taken / count;
}

std::uint64_t time_of_paging() {
    const std::uint64_t end = make(Type::Endpoint), faults = make(Type::Endpoint);
    const Child pager = make_child(serve_pages, 0, end, 4);
    const Child client = make_child(touch_pages, 0, end, 5, faults);
    const std::uint64_t frames = make(Type::Frame, 0, demanded_pages);
    give(pager, other, faults);
    give(pager, space, client.space);
    for (std::uint64_t i = 0; i < demanded_pages; ++i) give(pager, more + i, frames + i);
    start(pager);
    start(client);
    const std::uint64_t taken = system_call(SystemCall::Recv, end).words[0];
    forget_all();
    return taken;
}

}  // namespace

void measure() {
    for (unsigned i = 0; i < samples; ++i) {
        sample("message", "fast", time_of_calls(short_message));
        sample("message", "slow", time_of_calls(long_message));
        measure_signals();
        sample("revoke", "few", time_of_revoking(few));
        sample("revoke", "many", time_of_revoking(much));
        sample("page-fault", "pager", time_of_paging());
    }
    print("bench done\r\n");
}

}  // namespace micro
