// SPDX-License-Identifier: MIT
// A program that makes calls at random with what it has, beside a client and a server that must not
// notice it.
#include "kern/user/micro/hostile.hh"

#include "kern/user/digest.hh"
#include "kern/user/micro/root.hh"

namespace micro {
namespace {

using kern::cap::all_rights;
using kern::cap::RootInfo;
using kern::cap::RootSlot;

constexpr std::uint64_t page_size = 4096, scratch = RootInfo::stack_end + page_size;
constexpr std::uint64_t patience = 1000, most_rounds = 5000;
/// Of one child: after so many it has little left that it could do harm with.
constexpr std::uint64_t most_calls = 1000;

volatile std::uint64_t& word_at(std::uint64_t address) {
    return *reinterpret_cast<volatile std::uint64_t*>(address);
}

class Random {
   public:
    explicit Random(std::uint64_t seed) : state_{seed} {}
    std::uint64_t next() { return user::scramble(state_ += 0x9e37'79b9'7f4a'7c15); }
    std::uint64_t below(std::uint64_t bound) { return next() % bound; }
    /// A number that may be an index, a kind of object, an address of memory, or nothing at all.
    std::uint64_t any() {
        switch (below(6)) {
            case 0:
            case 1: return below(20);
            case 2: return below(64);
            case 3: return below(12) | below(16) << 8;
            case 4: return (below(4) << 39 | below(1024) << 21 | below(8) << 12) & ~0xfffULL;
            default: return next() >> below(64);
        }
    }

   private:
    std::uint64_t state_;
};

/// Puts bits where another thread may look for them: each register holds one of twelve selectors.
void leave_selectors(std::uint64_t bits) {
    const auto selector = [&bits] {
        constexpr std::uint64_t user_data = 0x18, step = 8, privileges = 4;
        const std::uint64_t which = bits % (3 * privileges);
        bits /= 3 * privileges;
        const std::uint64_t segment = which / privileges;  // none, user_data, user_code
        return which % privileges | (segment == 0 ? 0 : user_data + (segment - 1) * step);
    };
    asm volatile("mov %w0, %%ds" : : "r"(selector()));
    asm volatile("mov %w0, %%es" : : "r"(selector()));
    asm volatile("mov %w0, %%fs" : : "r"(selector()));
    asm volatile("mov %w0, %%gs" : : "r"(selector()));
}

/// The hostile child: counts its calls, and those that were Done, in the page that it shares with
/// the root task.
void run_wild(std::uint64_t seed) {
    constexpr std::uint64_t methods = 24, calls = 8, seldom = 400, own_endpoint = 5;
    Random random{seed};
    while (true) {
        Message message{.label = random.below(methods), .length = 4};
        for (std::uint64_t& word : message.words) word = random.any();
        auto call = SystemCall::Call;
        std::uint64_t address = random.below(20);
        if (address == own_endpoint)
            call = random.below(2) == 0 ? SystemCall::NBSend : SystemCall::NBRecv;
        if (random.below(seldom) == 0) {  // these may wait for ever
            call = static_cast<SystemCall>(random.below(calls + 2));
            message.length = random.any();
            message.capabilities = random.any();
        }
        if (random.below(16) == 0) address = random.any();
        if (random.below(16) == 0) leave_selectors(random.next());
        const Message answer = system_call(call, address, message);
        word_at(child_shared) = word_at(child_shared) + 1;
        if (answer.status == Status::Done)
            word_at(child_shared + 8) = word_at(child_shared + 8) + 1;
    }
}

Child make_wild(std::uint64_t seed, std::uint64_t end, std::uint64_t shared) {
    const Child wild = make_child(run_wild, seed, end, 4);
    call(wild.cnode, Method::Delete, up);  // nobody listens to it
    map_for(wild, shared, child_shared);
    std::uint64_t at = 1;
    for (const std::uint64_t own : {wild.cnode, wild.tcb, wild.space}) give(wild, at++, own);
    for (const std::uint64_t object :
         {make(Type::Untyped, 16), make(Type::Endpoint), make(Type::Notification),
          make(Type::Frame), make(Type::Frame), make(Type::CNode, 3), make(Type::Tcb)})
        give(wild, at++, object);
    call(wild.cnode, Method::Move, at++, make(Type::PageTable));
    // A port that no device has.
    constexpr std::uint64_t port = 0xed;
    call(wild.cnode, Method::Mint, at++, root(RootSlot::IoPorts), all_rights, port | port << 16);
    call(root(RootSlot::IrqControl), Method::GetIrq, 5, wild.cnode, at);
    return wild;
}

/// Beside a hostile child: a client and its server. Returns what the client says.
std::uint64_t ping_pong(std::uint64_t key, std::uint64_t end) {
    const std::uint64_t service = make(Type::Endpoint);
    const Child server = make_child(serve, 0, end, 4);
    const Child client = make_child(call_often, key, end, 5);
    give(server, other, service);
    give(client, other, service, kern::cap::write_right, 0x77);
    start(server);
    start(client);
    return system_call(SystemCall::Recv, end).words[0];
}

}  // namespace

void endure(std::uint64_t key, std::uint64_t calls, volatile std::uint64_t* report) {
    std::uint64_t made = 0, done = 0, round = 0, differing = 0;
    const std::uint64_t wanted = ping_pong(key, make(Type::Endpoint));
    forget_all();
    for (; made < calls && round < most_rounds; ++round) {
        const std::uint64_t end = make(Type::Endpoint), shared = make(Type::Frame);
        call(make(Type::PageTable), Method::MapTable, root(RootSlot::AddressSpace), scratch);
        call(shared, Method::Map, root(RootSlot::AddressSpace), scratch, all_rights);
        start(make_wild(user::scramble(key + round), end, shared));
        if (ping_pong(key, end) != wanted) ++differing;
        std::uint64_t seen = 0;
        for (std::uint64_t waited = 0; waited < patience && seen < most_calls; ++waited) {
            system_call(SystemCall::Yield, 0);
            if (word_at(scratch) != seen) waited = 0;
            seen = word_at(scratch);
        }
        made += word_at(scratch);
        done += word_at(scratch + 8);
        forget_all();
    }
    report[1] = wanted;
    report[2] = differing;
    report[3] = made;
    report[4] = done;
    report[5] = round;
    report[0] = 1;
}

}  // namespace micro
