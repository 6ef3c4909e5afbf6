// SPDX-License-Identifier: MIT
#include "kern/user/micro/children.hh"

#include "kern/user/digest.hh"
#include "kern/user/micro/micro.hh"

namespace micro {
namespace {

using kern::cap::IpcBuffer;

constexpr std::uint64_t page_size = 4096, rounds = 300;

volatile std::uint64_t& word_at(std::uint64_t address) {
    return *reinterpret_cast<volatile std::uint64_t*>(address);
}
IpcBuffer& buffer() {
    return *reinterpret_cast<IpcBuffer*>(child_buffer);
}

/// What is in DS, ES, FS and GS: 0, whatever another program had there.
std::uint64_t selectors() {
    std::uint64_t ds = 0, es = 0, fs = 0, gs = 0;
    asm volatile(
        "mov %%ds, %0\n\t"
        "mov %%es, %1\n\t"
        "mov %%fs, %2\n\t"
        "mov %%gs, %3"
        : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
    return ds | es << 16 | fs << 32 | gs << 48;
}

/// Tells the root task, and waits for ever: it does not reply.
template <class... Words>
[[noreturn]] void finish(std::uint64_t address, Words... words) {
    while (true) call(address, 0, words...);
}

}  // namespace

void look_up(std::uint64_t base) {
    const auto try_at = [](std::uint64_t address) {
        return static_cast<std::uint64_t>(system_call(SystemCall::Send, address).status);
    };
    const std::uint64_t right = try_at(base | other), empty = try_at(base | more);
    const std::uint64_t wrong_guard = try_at((base ^ 1ULL << 60) | other);
    const std::uint64_t inner_guard = try_at((base ^ 1ULL << 5) | other);
    finish(base | up, right, empty, wrong_guard, inner_guard);
}

void call_with_badge(std::uint64_t key) {
    const Message answer = call(up, 1, key);
    const auto refused = static_cast<std::uint64_t>(system_call(SystemCall::Recv, up).status);
    finish(up, refused, answer.words[0], answer.badge);
}

void count(std::uint64_t) {
    call(up, 1);
    while (true) word_at(child_shared) = word_at(child_shared) + 1;
}

void send_long(std::uint64_t key) {
    Message message{.label = 5, .length = kern::cap::message_words};
    for (std::uint64_t i = 0; i < message.length; ++i) {
        const std::uint64_t word = user::scramble(key + i);
        if (i < message.words.size()) message.words[i] = word;
        buffer().words[i] = word;
    }
    while (true) system_call(SystemCall::Call, up, message);
}

void send_frame(std::uint64_t key) {
    for (std::uint64_t i = 0; i < page_size; i += sizeof(key))
        word_at(child_shared + i) = user::scramble(key ^ i);
    buffer().sent = {other};
    system_call(SystemCall::Call, up, {.label = 6, .capabilities = 1});
    finish(up, 0);
}

void send_once(std::uint64_t label) {
    system_call(SystemCall::Send, up, {.label = label});
    while (true) system_call(SystemCall::Recv, other);
}

void signal_once(std::uint64_t) {
    system_call(SystemCall::Send, other);
    finish(up, 7);
}

void call_twice(std::uint64_t key) {
    const Message first = call(up, 1, key);
    const Message second = call(up, 2, first.words[0]);
    finish(up, first.words[0], second.words[0], second.label);
}

void call_often(std::uint64_t key) {
    user::Digest digest{key};
    for (std::uint64_t i = 0; i < rounds; ++i) {
        const Message answer = call(other, i, user::scramble(key + i), i);
        digest.add(answer.words[0]);
        digest.add(answer.label ^ selectors());
    }
    finish(up, digest.value());
}

void serve(std::uint64_t) {
    Message message = system_call(SystemCall::Recv, other);
    while (true) {
        message.words[0] = user::scramble(message.words[0] ^ message.badge);
        message.label = message.words[1] + 1;
        message.length = 1;
        message.capabilities = 0;
        message = system_call(SystemCall::ReplyRecv, other, message);
    }
}

void demand(std::uint64_t key) {
    for (std::uint64_t i = 0; i < demanded_pages; ++i) {
        volatile std::uint64_t& word = word_at(child_heap + i * page_size);
        word = word + user::scramble(key + i);  // a new page holds zeros
    }
    user::Digest digest{key};
    for (std::uint64_t i = 0; i < demanded_pages; ++i)
        digest.add(word_at(child_heap + i * page_size));
    finish(up, digest.value());
}

void serve_pages(std::uint64_t) {
    Message message = system_call(SystemCall::Recv, other);
    for (std::uint64_t used = 0;; ++used) {
        const std::uint64_t page = message.words[0] & ~(page_size - 1);
        const Status status = used < demanded_pages ? call(more + used, Method::Map, space, page,
                                                           kern::cap::all_rights)
                                                    : Status::NotEnoughMemory;
        message = system_call(SystemCall::ReplyRecv, other,
                              {.label = static_cast<std::uint64_t>(status)});
    }
}

void meet(std::uint64_t argument) {
    constexpr std::uint64_t byte = 0xff;
    const std::uint64_t self = argument & byte, count = argument >> 8;
    word_at(child_shared + self * sizeof(self)) = self + 1;
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        while (word_at(child_shared + i * sizeof(i)) == 0) asm volatile("pause");
        sum += word_at(child_shared + i * sizeof(i));
    }
    finish(up, sum);
}

}  // namespace micro
