// SPDX-License-Identifier: MIT
// System calls without ring 3: registers in, registers out.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/proc/environments.hh"
#include "kern/proc/system_calls.hh"

namespace kern {
namespace {

using syscall::Failure;
using syscall::Number;

constexpr Uva memory{0x400000}, unmapped{0x500000}, read_only_page{0x600000};
constexpr std::uint64_t rw = syscall::right_read | syscall::right_write;
constexpr std::uint64_t kernel_address = 0xffff'ffff'8010'0000;

constexpr std::uint64_t failure(Failure reason) {
    return -static_cast<std::uint64_t>(std::to_underlying(reason));
}

class SystemCallsTest : public ::testing::Test {
   protected:
    void SetUp() override {
        arch::fake::reset(16 << 20);
        before_ = frames().accounts();
        env_ = &make("first");
        run(*env_);
    }
    void TearDown() override {
        if (environments.current() != nullptr)
            environments.end(*environments.current(), {.kind = Ending::Kind::Exited});
        environments.end_waiting(Ending::Kind::Exited);
        environments.idle_cpus = 0;
        EXPECT_EQ(environments.living(), 0U);
        EXPECT_EQ(environments.running, 0U);
        EXPECT_EQ(frames().accounts(), before_);
    }

    static Env& make(std::string_view name) {
        auto env = std::make_unique<Env>();
        env->space = std::move(*AddressSpace::create());
        env->fpu.emplace(std::move(*FpuState::create(frame_owner::environment)));
        env->name.assign(name);
        env->on_end = [](void*, const Env& ended) { last_end = ended.ending; };
        EXPECT_TRUE(env->space->allocate_page(memory, {.write = true, .execute = false}));
        EXPECT_TRUE(env->space->allocate_page(read_only_page, {}));
        return *environments.find(*environments.add(std::move(env)));
    }
    /// As the scheduler does.
    static void run(Env& env) {
        env.state = Env::State::Running;
        ++environments.running;
        environments.current() = &env;
    }
    std::uint64_t call(std::uint64_t number, std::uint64_t first = 0, std::uint64_t second = 0,
                       std::uint64_t third = 0, std::uint64_t fourth = 0) {
        arch::TrapFrame& frame = environments.current()->frame;
        frame.rax = number;
        frame.rdi = first;
        frame.rsi = second;
        frame.rdx = third;
        frame.r10 = fourth;
        serve_system_call(*environments.current());
        return environments.current() != nullptr ? frame.rax : 0;
    }
    std::uint64_t call(Number number, std::uint64_t first = 0, std::uint64_t second = 0,
                       std::uint64_t third = 0, std::uint64_t fourth = 0) {
        return call(std::to_underlying(number), first, second, third, fourth);
    }
    void put(Uva at, std::string_view text) {
        ASSERT_TRUE(env_->space->copy_to_user(at, std::as_bytes(std::span{text})));
    }

    FrameAccounts before_{};
    Env* env_ = nullptr;
    static inline Ending last_end;
};

TEST_F(SystemCallsTest, UnknownNumbersAreRefused) {
    for (const std::uint64_t number :
         {syscall::number_count, std::uint64_t{1000}, ~0UL, 1UL << 63, 1UL << 32})
        EXPECT_EQ(call(number), failure(Failure::no_such_call)) << number;
    EXPECT_EQ(call(Number::nothing), 0U);
    EXPECT_EQ(env_->system_calls, 6U);
}

TEST_F(SystemCallsTest, WritesWhatTheProgramHas) {
    put(memory + 100, "some text");
    EXPECT_EQ(call(Number::console_write, memory.value() + 100, 9), 9U);
    EXPECT_NE(arch::fake::console().find("some text"), std::string::npos);
    EXPECT_EQ(call(Number::console_write, memory.value(), 0), 0U);
    EXPECT_EQ(call(Number::console_write, memory.value(), syscall::longest_write + 1),
              failure(Failure::invalid_argument));
    EXPECT_EQ(call(Number::console_write, memory.value() + 1, syscall::longest_write),
              failure(Failure::bad_address));
}

TEST_F(SystemCallsTest, BadPointersAreRefused) {
    for (const std::uint64_t at :
         {std::uint64_t{0}, unmapped.value(), memory.value() + page_size - 3, kernel_address,
          0xffff'ffff'ffff'fffcUL, 0x7fff'ffff'fffcUL, 0x8000'0000'0000UL}) {
        EXPECT_EQ(call(Number::console_write, at, 8), failure(Failure::bad_address)) << at;
        EXPECT_EQ(call(Number::console_read, at, 8), failure(Failure::bad_address)) << at;
        EXPECT_EQ(call(Number::open, at, 8), failure(Failure::bad_address)) << at;
        EXPECT_EQ(call(Number::find_env, at, 8), failure(Failure::bad_address)) << at;
    }
    EXPECT_EQ(call(Number::console_read, read_only_page.value(), 8), failure(Failure::bad_address));
    EXPECT_EQ(call(Number::console_write, memory.value(), ~0UL),
              failure(Failure::invalid_argument));
}

TEST_F(SystemCallsTest, Identifiers) {
    EXPECT_EQ(call(Number::env_id), env_->id);
    EXPECT_GT(env_->id, 0U);
    EXPECT_EQ(call(Number::parent_id), 0U);
    Env& other = make("other");
    environments.make_runnable(other);
    EXPECT_NE(other.id, env_->id);
    put(memory, "other");
    EXPECT_EQ(call(Number::find_env, memory.value(), 5), other.id);
    EXPECT_EQ(call(Number::find_env, memory.value(), 4), failure(Failure::not_found));
}

TEST_F(SystemCallsTest, ExitEndsAndGivesBack) {
    call(Number::exit, 42);
    EXPECT_EQ(environments.current(), nullptr);
    EXPECT_EQ(environments.living(), 0U);
    EXPECT_EQ(last_end.kind, Ending::Kind::Exited);
    EXPECT_EQ(last_end.status, 42);
}

TEST_F(SystemCallsTest, KeptOnesStayUntilTheyAreDestroyed) {
    const EnvId id = env_->id;
    env_->keep = true;
    EXPECT_EQ(find_kept(id), nullptr);
    call(Number::exit, 1);
    ASSERT_NE(find_kept(id), nullptr);
    EXPECT_TRUE(find_kept(id)->space->find(memory));
    EXPECT_EQ(environments.living(), 0U);
    EXPECT_TRUE(destroy_kept(id));
    EXPECT_FALSE(destroy_kept(id));
}

TEST_F(SystemCallsTest, IdentifiersAreNotUsedAgain) {
    const EnvId first = env_->id;
    call(Number::exit, 0);
    Env& next = make("next");
    run(next);
    EXPECT_NE(next.id, first);
    EXPECT_EQ(environments.find(first), nullptr);
}

TEST_F(SystemCallsTest, YieldLetsOthersRunFirst) {
    call(Number::yield);
    EXPECT_EQ(env_->state, Env::State::Running);
    Env& other = make("other");
    environments.make_runnable(other);
    call(Number::yield);
    EXPECT_EQ(env_->state, Env::State::Runnable);
    EXPECT_EQ(environments.running, 0U);
    EXPECT_EQ(environments.take_runnable(), &other);
    EXPECT_EQ(environments.take_runnable(), env_);
    EXPECT_EQ(environments.take_runnable(), nullptr);
}

TEST_F(SystemCallsTest, Pages) {
    EXPECT_EQ(call(Number::page_alloc, unmapped.value(), rw), 0U);
    put(unmapped, "here");
    EXPECT_EQ(call(Number::page_map, unmapped.value(), unmapped.value() + page_size, 1), 0U);
    const UserPage copy = *env_->space->find(unmapped + page_size);
    EXPECT_EQ(copy.rights, Rights{});
    EXPECT_EQ(std::memcmp(AddressSpace::bytes(copy).data(), "here", 4), 0);
    EXPECT_EQ(call(Number::page_map, unmapped.value() + page_size, unmapped.value(), rw),
              failure(Failure::invalid_argument));
    EXPECT_EQ(call(Number::page_alloc, unmapped.value(), rw), 0U);  // a new one
    EXPECT_EQ(AddressSpace::bytes(*env_->space->find(unmapped))[0], std::byte{});
    EXPECT_EQ(call(Number::page_unmap, unmapped.value()), 0U);
    EXPECT_EQ(call(Number::page_unmap, unmapped.value()), 0U);
    EXPECT_FALSE(env_->space->find(unmapped));
    EXPECT_EQ(call(Number::page_map, unmapped.value(), memory.value(), 1),
              failure(Failure::not_found));
}

TEST_F(SystemCallsTest, BadPagesAndRights) {
    for (const std::uint64_t at : {std::uint64_t{0}, kernel_address, 0x7fff'ffff'f000UL})
        EXPECT_EQ(call(Number::page_alloc, at, rw), failure(Failure::bad_address)) << at;
    EXPECT_EQ(call(Number::page_alloc, unmapped.value() + 1, rw),
              failure(Failure::invalid_argument));
    for (const std::uint64_t rights : {0UL, 2UL, 8UL, 9UL, ~0UL})
        EXPECT_EQ(call(Number::page_alloc, unmapped.value(), rights),
                  failure(Failure::invalid_argument))
            << rights;
    frames().fail_from(1);
    EXPECT_EQ(call(Number::page_alloc, unmapped.value(), rw), failure(Failure::out_of_memory));
    frames().fail_from(0);
    EXPECT_EQ(env_->space->page_count(), 2U);
}

TEST_F(SystemCallsTest, SendingNeedsOneWhoWaits) {
    Env& other = make("other");
    environments.make_runnable(other);
    EXPECT_EQ(call(Number::ipc_try_send, other.id, 1), failure(Failure::busy));
    EXPECT_EQ(call(Number::ipc_try_send, env_->id, 1), failure(Failure::busy));
    EXPECT_EQ(call(Number::ipc_try_send, 0, 1), failure(Failure::not_found));
    EXPECT_EQ(call(Number::ipc_try_send, other.id + max_environments, 1),
              failure(Failure::not_found));
    EXPECT_EQ(call(Number::ipc_try_send, other.id + (1UL << 32), 1), failure(Failure::not_found));
}

TEST_F(SystemCallsTest, AMessageWithAPage) {
    Env& receiver = make("receiver");
    environments.current() = nullptr;
    run(receiver);
    call(Number::ipc_receive, unmapped.value());
    EXPECT_EQ(receiver.state, Env::State::Receiving);
    environments.current() = env_;
    put(memory, "a message");
    EXPECT_EQ(call(Number::ipc_try_send, receiver.id, 77, memory.value(), 1), 0U);
    EXPECT_EQ(receiver.state, Env::State::Runnable);
    EXPECT_EQ(receiver.frame.rax, env_->id);
    EXPECT_EQ(receiver.frame.rdx, 77U);
    EXPECT_EQ(receiver.frame.r8, 1U);
    ASSERT_TRUE(receiver.space->find(unmapped));
    EXPECT_EQ(receiver.space->find(unmapped)->frame, env_->space->find(memory)->frame);
    EXPECT_EQ(receiver.space->find(unmapped)->rights, Rights{});
}

TEST_F(SystemCallsTest, ABadPageIsNotSentAndTheReceiverWaitsOn) {
    Env& receiver = make("receiver");
    environments.current() = nullptr;
    run(receiver);
    EXPECT_EQ(call(Number::ipc_receive, kernel_address), failure(Failure::invalid_argument));
    EXPECT_EQ(call(Number::ipc_receive, 0x400001), failure(Failure::invalid_argument));
    call(Number::ipc_receive, unmapped.value());
    environments.current() = env_;
    EXPECT_EQ(call(Number::ipc_try_send, receiver.id, 7, unmapped.value(), 1),
              failure(Failure::bad_address));
    EXPECT_EQ(call(Number::ipc_try_send, receiver.id, 7, read_only_page.value(), rw),
              failure(Failure::invalid_argument));
    EXPECT_EQ(call(Number::ipc_try_send, receiver.id, 7, memory.value(), 0),
              failure(Failure::invalid_argument));
    EXPECT_EQ(receiver.state, Env::State::Receiving);
    EXPECT_FALSE(receiver.space->find(unmapped));
}

TEST_F(SystemCallsTest, AMessageWithoutAPage) {
    Env& receiver = make("receiver");
    environments.current() = nullptr;
    run(receiver);
    call(Number::ipc_receive, 0);
    environments.current() = env_;
    EXPECT_EQ(call(Number::ipc_try_send, receiver.id, 5, memory.value(), 1), 0U);
    EXPECT_EQ(receiver.frame.r8, 0U);
    EXPECT_EQ(receiver.space->page_count(), 2U);
}

TEST_F(SystemCallsTest, WithoutFilesThereAreNone) {
    put(memory, "name");
    EXPECT_EQ(call(Number::open, memory.value(), 4), failure(Failure::not_found));
    EXPECT_EQ(call(Number::spawn, memory.value(), 4, memory.value(), 0),
              failure(Failure::not_found));
    EXPECT_EQ(call(Number::open, memory.value(), syscall::longest_name + 1),
              failure(Failure::invalid_argument));
    EXPECT_EQ(call(Number::read, 0, memory.value(), 1), failure(Failure::not_found));
    EXPECT_EQ(call(Number::read, ~0UL, memory.value(), 1), failure(Failure::not_found));
}

TEST_F(SystemCallsTest, TheTableOfEnvironmentsIsFullAtItsEnd) {
    std::size_t made = 1;
    while (made < max_environments) {
        environments.make_runnable(make("one of many"));
        ++made;
    }
    auto env = std::make_unique<Env>();
    EXPECT_EQ(environments.add(std::move(env)).error(), Error::Busy);
    EXPECT_EQ(environments.living(), max_environments);
}

TEST_F(SystemCallsTest, WaitGetsTheEndThatComes) {
    Env& child = make("child");
    const EnvId id = child.id;
    EXPECT_EQ(call(Number::wait, id), 0U);
    EXPECT_EQ(env_->state, Env::State::Waiting);
    EXPECT_EQ(environments.running, 0U);
    environments.end(child, {.kind = Ending::Kind::Exited, .status = 77});
    EXPECT_EQ(env_->state, Env::State::Runnable);
    EXPECT_EQ(env_->frame.rax, std::to_underlying(syscall::Outcome::exited));
    EXPECT_EQ(env_->frame.rdx, 77U);
    EXPECT_EQ(environments.take_runnable(), env_);
    run(*env_);
    // It is gone, and remembered.
    env_->frame.rdx = 0;
    EXPECT_EQ(call(Number::wait, id), std::to_underlying(syscall::Outcome::exited));
    EXPECT_EQ(env_->frame.rdx, 77U);
}

TEST_F(SystemCallsTest, WaitRefusesWhomItCannotWaitFor) {
    EXPECT_EQ(call(Number::wait, env_->id), failure(Failure::invalid_argument));
    for (const std::uint64_t id : {0ULL, 0x7fff'ff00ULL, ~0ULL, 1ULL << 32 | env_->id})
        EXPECT_EQ(call(Number::wait, id), failure(Failure::not_found)) << id;
    // So many ends are remembered, and no more.
    const EnvId first = make("first of many").id;
    environments.end(*environments.find(first), {.kind = Ending::Kind::Faulted});
    for (std::uint64_t i = 1; i < syscall::ended_programs; ++i)
        environments.end(make("one of many"), {.kind = Ending::Kind::Exited});
    EXPECT_EQ(call(Number::wait, first), std::to_underlying(syscall::Outcome::faulted));
    environments.end(make("one too many"), {.kind = Ending::Kind::Exited});
    EXPECT_EQ(call(Number::wait, first), failure(Failure::not_found));
    // One that is kept tells for itself.
    Env& kept = make("kept");
    kept.keep = true;
    const EnvId id = kept.id;
    environments.end(kept, {.kind = Ending::Kind::Exited, .status = 5});
    for (std::uint64_t i = 0; i < syscall::ended_programs; ++i)
        environments.end(make("one of many"), {.kind = Ending::Kind::Faulted});
    EXPECT_EQ(call(Number::wait, id), std::to_underlying(syscall::Outcome::exited));
    EXPECT_EQ(env_->frame.rdx, 5U);
    EXPECT_TRUE(destroy_kept(id));
}

TEST_F(SystemCallsTest, WhoWaitsForTheStuckGoesOn) {
    Env& child = make("child");
    child.state = Env::State::Receiving;
    EXPECT_EQ(call(Number::wait, child.id), 0U);
    environments.current() = nullptr;
    environments.end_stuck();
    EXPECT_EQ(environments.living(), 1U);
    EXPECT_EQ(env_->state, Env::State::Runnable);
    EXPECT_EQ(env_->frame.rax, std::to_underlying(syscall::Outcome::stuck));
}

TEST_F(SystemCallsTest, ThoseThatWaitForEachOtherAreEnded) {
    Env& other = make("other");
    other.state = Env::State::Waiting;
    other.waits_for = env_->id;
    EXPECT_EQ(call(Number::wait, other.id), 0U);
    environments.current() = nullptr;
    environments.end_stuck();
    EXPECT_EQ(environments.living(), 0U);
    EXPECT_FALSE(environments.has_runnable());
    EXPECT_EQ(last_end.kind, Ending::Kind::Stuck);
}

TEST_F(SystemCallsTest, AChildThatWasNeverStartedEndsWithItsParent) {
    Env& child = make("child");
    child.state = Env::State::Unstarted;
    child.parent = env_->id;
    environments.end(*env_, {.kind = Ending::Kind::Exited});
    EXPECT_EQ(environments.living(), 0U);
}

TEST_F(SystemCallsTest, OnlyItsOwnCpuTakesABoundEnvironment) {
    Env &bound = make("bound"), &free = make("free");
    bound.only_cpu = 1;
    environments.idle_cpus = 0b101;
    environments.make_runnable(bound);
    EXPECT_EQ(arch::fake::kicks(0) + arch::fake::kicks(2), 0U) << "they can do nothing for it";
    environments.make_runnable(free);
    EXPECT_EQ(arch::fake::kicks(0), 1U);
    EXPECT_EQ(environments.take_runnable(), &free);
    EXPECT_EQ(environments.take_runnable(), nullptr);
    EXPECT_TRUE(environments.has_runnable());
    environments.make_runnable(free);
    arch::fake::enter_cpu(1);
    EXPECT_EQ(environments.take_runnable(), &bound);
    EXPECT_EQ(environments.take_runnable(), &free);
    EXPECT_FALSE(environments.has_runnable());
    arch::fake::enter_cpu(0);
    environments.make_runnable(bound);
    environments.make_runnable(free);
}

TEST_F(SystemCallsTest, AnotherRoomServesTheNumbersBeyond) {
    static constexpr std::array<SystemCallHandler, 2> handlers{
        [](Env&, const SystemCallArguments& arguments) -> SystemCallResult {
            return arguments[0] + arguments[1] + arguments[2] + arguments[3] + arguments[4];
        },
        [](Env&, const SystemCallArguments&) -> SystemCallResult {
            return std::unexpected{Failure::busy};
        }};
    constexpr std::uint64_t first = syscall::extension_begin;
    EXPECT_EQ(call(first), failure(Failure::no_such_call));
    set_system_call_extension(handlers);
    env_->frame.r8 = 5;
    EXPECT_EQ(call(first, 1, 2, 3, 4), 15U);
    EXPECT_EQ(call(first + 1), failure(Failure::busy));
    for (const std::uint64_t number : {first - 1, first + 2, ~0UL})
        EXPECT_EQ(call(number), failure(Failure::no_such_call)) << number;
    set_system_call_extension({});
}

}  // namespace
}  // namespace kern
