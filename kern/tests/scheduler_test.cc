// SPDX-License-Identifier: MIT
// The scheduler on the fake machine: a program is a function of the test, which gets the registers
// with which it was entered and returns those of its next trap.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "kern/arch/user.hh"
#include "kern/arch/vectors.hh"
#include "kern/mm/frame_allocator.hh"
#include "kern/proc/environments.hh"

namespace kern {
namespace {

using arch::TrapFrame;
using syscall::Number;
using Kind = Ending::Kind;

constexpr std::uint64_t ms = 1'000'000;  // in nanoseconds

TrapFrame system_call(TrapFrame frame, Number number, std::uint64_t first = 0,
                      std::uint64_t second = 0) {
    frame.vector = arch::system_call_vector;
    frame.rax = std::to_underlying(number);
    frame.rdi = first;
    frame.rsi = second;
    frame.rdx = frame.r10 = 0;
    return frame;
}
TrapFrame trap(TrapFrame frame, std::uint64_t vector) {
    frame.vector = vector;
    return frame;
}
/// The time slice ends.
TrapFrame timer(const TrapFrame& frame) {
    return trap(frame, arch::vector::timer);
}
TrapFrame leave(const TrapFrame& frame, std::uint64_t status = 0) {
    return system_call(frame, Number::exit, status);
}

/// What a program does between two traps; `turn` counts from 0.
using Program = std::function<TrapFrame(const TrapFrame& entered, unsigned turn)>;

class SchedulerTest : public ::testing::Test {
   protected:
    void SetUp() override { boot(1); }
    void TearDown() override {
        EXPECT_EQ(environments.living(), 0U);
        EXPECT_EQ(environments.running, 0U);
        EXPECT_EQ(environments.idle_cpus, 0U);
        EXPECT_FALSE(environments.has_runnable());
        EXPECT_TRUE(arch::fake::interrupts_enabled()) << "as they were before run_programs";
        EXPECT_EQ(frames().accounts(), before_) << "a frame is lost, or was never taken";
        programs_.clear();
    }

    void boot(unsigned cpus) {
        arch::fake::reset({.arena_bytes = 16 << 20, .cpus = cpus});
        arch::fake::on_enter_user([this](const TrapFrame& frame) { return enter(frame); });
        before_ = frames().accounts();
    }

    /// A program that may run: its number, which `order()` tells, and which is its name too.
    EnvId add(Program what, std::optional<unsigned> only_cpu = {}) {
        auto env = std::make_unique<Env>();
        env->space = std::move(*AddressSpace::create());
        env->fpu.emplace(std::move(*FpuState::create(frame_owner::environment)));
        env->frame.rbx = programs_.size();
        env->only_cpu = only_cpu;
        return add(std::move(env), std::move(what));
    }
    EnvId add(std::unique_ptr<Env> env, Program what = {}) {
        programs_.push_back(std::make_unique<State>(std::move(what)));
        State& state = *programs_.back();
        state.env = env.get();
        state.space = env->space ? env->space->root() : Hpa{};
        env->on_end = [](void* context, const Env& ended) {
            State& its = *static_cast<State*>(context);
            ++its.ends;
            its.ending = ended.ending;
            its.preemptions = ended.preemptions;
            its.switches = ended.switches;
        };
        env->context = &state;
        const LockGuard guard{environments.lock};
        const EnvId id = *environments.add(std::move(env));
        environments.make_runnable(*environments.find(id));
        return id;
    }

    /// What is known of a program after its end.
    struct State {
        explicit State(Program program) : what{std::move(program)} {}
        Program what;
        const Env* env = nullptr;
        Hpa space{};
        std::atomic<bool> on_a_cpu{false};
        unsigned turn = 0, ends = 0;
        std::uint64_t preemptions = 0, switches = 0;
        Ending ending{};
    };
    const State& program(std::size_t number) const { return *programs_.at(number); }
    /// The numbers of the programs in the order in which they were entered.
    std::string order() const { return order_; }

   private:
    TrapFrame enter(const TrapFrame& frame) {
        State& state = *programs_.at(frame.rbx);
        EXPECT_FALSE(state.on_a_cpu.exchange(true)) << "on two CPUs at once";
        EXPECT_EQ(arch::fake::address_space(), state.space) << "in somebody else's memory";
        EXPECT_TRUE(arch::fake::interrupts_enabled());
        EXPECT_NE(arch::fake::timer_deadline(arch::cpu_index()), 0U) << "it may stay for ever";
        {
            const std::lock_guard guard{order_lock_};
            order_ += static_cast<char>('0' + frame.rbx % 10);
        }
        const TrapFrame result = state.what(frame, state.turn++);
        state.on_a_cpu = false;
        return result;
    }

    std::vector<std::unique_ptr<State>> programs_;
    std::mutex order_lock_;
    std::string order_;
    FrameAccounts before_{};
};

TEST_F(SchedulerTest, WithoutProgramsItComesBack) {
    run_programs(1, 0);
    EXPECT_EQ(arch::fake::timer_deadline(0), 0U);
}

TEST_F(SchedulerTest, WhoYieldsComesAgainAfterAllOthers) {
    for (unsigned i = 0; i < 3; ++i)
        add([](const TrapFrame& frame, unsigned turn) {
            return turn < 2 ? system_call(frame, Number::yield) : leave(frame, frame.rbx);
        });
    run_programs(1, 0);
    EXPECT_EQ(order(), "012012012");
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_EQ(program(i).ending.kind, Kind::Exited);
        EXPECT_EQ(program(i).ending.status, i);
        EXPECT_EQ(program(i).ends, 1U);
        EXPECT_EQ(program(i).switches, 3U);
    }
}

TEST_F(SchedulerTest, TheEndOfASliceLetsTheNextOneRun) {
    for (unsigned i = 0; i < 3; ++i)
        add([](const TrapFrame& frame, unsigned turn) {
            return turn < 2 ? timer(frame) : leave(frame);
        });
    run_programs(1, 0);
    EXPECT_EQ(order(), "012012012");
    for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(program(i).preemptions, 2U);
}

TEST_F(SchedulerTest, WhoIsAloneGoesOnWithANewSlice) {
    std::vector<std::uint64_t> deadlines;
    add([&](const TrapFrame& frame, unsigned turn) {
        deadlines.push_back(arch::fake::timer_deadline(0));
        if (turn == 0) return system_call(frame, Number::yield);
        arch::fake::set_timestamp(deadlines.back());
        return turn < 3 ? timer(frame) : leave(frame);
    });
    run_programs(1, 0);
    EXPECT_EQ(program(0).switches, 1U);
    ASSERT_EQ(deadlines.size(), 4U);
    EXPECT_EQ(deadlines[1], deadlines[0]) << "a system call gives no new slice";
    EXPECT_GT(deadlines[2], deadlines[1]);
    EXPECT_GT(deadlines[3], deadlines[2]);
}

TEST_F(SchedulerTest, WhoComesInTheMiddleOfASliceHasTheRestOfIt) {
    std::vector<std::uint64_t> deadlines;
    for (unsigned i = 0; i < 2; ++i)
        add([&](const TrapFrame& frame, unsigned turn) {
            deadlines.push_back(arch::fake::timer_deadline(0));
            return turn < 1 ? system_call(frame, Number::yield) : leave(frame);
        });
    run_programs(1, 0);
    for (const std::uint64_t deadline : deadlines) EXPECT_EQ(deadline, deadlines[0]);
}

TEST_F(SchedulerTest, OtherInterruptsChangeNothing) {
    add([](const TrapFrame& frame, unsigned turn) {
        constexpr std::array vectors{arch::vector::kick, arch::vector::request,
                                     arch::vector::spurious, arch::vector::non_maskable_interrupt};
        return turn < vectors.size() ? trap(frame, vectors[turn]) : leave(frame);
    });
    add([](const TrapFrame& frame, unsigned) { return leave(frame); });
    run_programs(1, 0);
    EXPECT_EQ(order(), "000001");
    EXPECT_EQ(program(0).preemptions, 0U);
}

TEST_F(SchedulerTest, RegistersAndFpuBelongToOne) {
    for (unsigned i = 0; i < 3; ++i)
        add([](TrapFrame frame, unsigned turn) {
            const auto mine = static_cast<std::uint8_t>(frame.rbx * 16 + turn);
            const auto before = static_cast<std::uint8_t>(turn == 0 ? 0 : mine - 1);
            EXPECT_EQ(arch::fake::fpu_register(), std::byte{before});
            if (turn != 0) {
                EXPECT_EQ(frame.r12, mine - 1U);
            }
            arch::fake::fpu_register() = std::byte{mine};
            frame.r12 = mine;
            if (turn == 4) return leave(frame);
            return turn % 2 == 0 ? timer(frame) : system_call(frame, Number::yield);
        });
    run_programs(1, 0);
}

TEST_F(SchedulerTest, AFaultEndsOneAndNoOther) {
    add([](TrapFrame frame, unsigned) {
        arch::fake::set_fault_address(0x1234);
        frame.error_code = 6;
        frame.rip = 0x40'0000;
        return trap(frame, arch::vector::page_fault);
    });
    add([](TrapFrame frame, unsigned) {
        frame.rip = 0x50'0000;
        return trap(frame, arch::vector::invalid_opcode);
    });
    add([](const TrapFrame& frame, unsigned) { return leave(frame, 9); });
    run_programs(1, 0);
    EXPECT_EQ(order(), "012");
    const Ending& page_fault = program(0).ending;
    EXPECT_EQ(page_fault.kind, Kind::Faulted);
    EXPECT_EQ(page_fault.vector, arch::vector::page_fault);
    EXPECT_EQ(page_fault.error_code, 6U);
    EXPECT_EQ(page_fault.cr2, 0x1234U);
    EXPECT_EQ(page_fault.rip, 0x40'0000U);
    EXPECT_EQ(program(1).ending.kind, Kind::Faulted);
    EXPECT_EQ(program(1).ending.cr2, 0U) << "the address is a page fault's only";
    EXPECT_EQ(program(2).ending.status, 9);
}

TEST_F(SchedulerTest, WhoWaitsForAMessageHasNoCpuUntilItComes) {
    const EnvId receiver = add([](const TrapFrame& frame, unsigned turn) {
        return turn == 0 ? system_call(frame, Number::ipc_receive) : leave(frame, frame.rdx);
    });
    add([receiver](const TrapFrame& frame, unsigned turn) {
        if (turn < 3) return system_call(frame, Number::yield);
        return turn == 3 ? system_call(frame, Number::ipc_try_send, receiver, 77) : leave(frame);
    });
    run_programs(1, 0);
    EXPECT_EQ(order(), "0111110");
    EXPECT_EQ(program(0).ending.status, 77);
}

TEST_F(SchedulerTest, WhoWaitsForAnEndGoesOnAfterIt) {
    const EnvId child = add([](const TrapFrame& frame, unsigned turn) {
        return turn < 2 ? timer(frame) : leave(frame, 5);
    });
    add([child](const TrapFrame& frame, unsigned turn) {
        return turn == 0 ? system_call(frame, Number::wait, child) : leave(frame, frame.rdx);
    });
    run_programs(1, 0);
    EXPECT_EQ(order(), "01001");
    EXPECT_EQ(program(1).ending.status, 5);
}

TEST_F(SchedulerTest, WhenNobodyCanSendThoseWhoWaitAreStuck) {
    for (unsigned i = 0; i < 2; ++i)
        add([](const TrapFrame& frame, unsigned) {
            return system_call(frame, Number::ipc_receive);
        });
    run_programs(1, 0);
    for (unsigned i = 0; i < 2; ++i) EXPECT_EQ(program(i).ending.kind, Kind::Stuck);
}

TEST_F(SchedulerTest, TheLimitEndsAllThatStillLive) {
    // One that runs, one that waits for a CPU, one that waits for a message.
    add([](const TrapFrame& frame, unsigned) {
        arch::fake::set_timestamp(arch::fake::timer_deadline(0));
        return timer(frame);
    });
    add([](const TrapFrame& frame, unsigned) { return system_call(frame, Number::yield); });
    add([](const TrapFrame& frame, unsigned) { return system_call(frame, Number::ipc_receive); });
    run_programs(1, 100 * ms);
    for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(program(i).ending.kind, Kind::LimitReached) << i;
    EXPECT_GE(arch::nanoseconds(), 100 * ms);
    EXPECT_LT(arch::nanoseconds(), 120 * ms);
    // The next ones have nothing to do with it.
    add([](const TrapFrame& frame, unsigned turn) {
        return turn < 2 ? timer(frame) : leave(frame);
    });
    run_programs(1, 0);
    EXPECT_EQ(program(3).ending.kind, Kind::Exited);
}

/// A runner that runs so many slices, and has a look at the scheduler meanwhile.
class CountingRunner : public Runner {
   public:
    CountingRunner(unsigned slices, std::vector<std::uint64_t>& lengths)
        : slices_{slices}, lengths_{&lengths} {}
    std::optional<Ending> run(Env& env, std::uint64_t slice_end) override {
        lengths_->push_back(slice_end - arch::nanoseconds());
        EXPECT_EQ(env.state, Env::State::Running);
        EXPECT_EQ(arch::fake::address_space(), Hpa{}) << "the kernel's own";
        EXPECT_FALSE(arch::fake::interrupts_enabled());
        environments.lock.lock();  // it is nobody's
        environments.lock.unlock();
        if (--slices_ != 0) return std::nullopt;
        return Ending{.kind = Kind::Aborted, .reason = "as asked"};
    }

   private:
    unsigned slices_;
    std::vector<std::uint64_t>* lengths_;
};

TEST_F(SchedulerTest, ARunnerTakesTurnsWithPrograms) {
    std::vector<std::uint64_t> lengths;
    add([](const TrapFrame& frame, unsigned turn) {
        EXPECT_EQ(arch::fake::fpu_register(), std::byte(turn));
        arch::fake::fpu_register() = std::byte(turn + 1);
        return turn < 3 ? timer(frame) : leave(frame);
    });
    auto env = std::make_unique<Env>();
    env->runner = std::make_unique<CountingRunner>(3, lengths);
    add(std::move(env));
    run_programs(1, 0);
    EXPECT_EQ(order(), "0000");
    EXPECT_EQ(lengths.size(), 3U);
    EXPECT_EQ(program(1).ending.kind, Kind::Aborted);
    EXPECT_EQ(program(1).switches, 3U);
}

TEST_F(SchedulerTest, ARunnersSliceEndsWithTheLimit) {
    std::vector<std::uint64_t> lengths;
    auto env = std::make_unique<Env>();
    env->runner = std::make_unique<CountingRunner>(1, lengths);
    add(std::move(env));
    run_programs(1, 2 * ms);
    ASSERT_EQ(lengths.size(), 1U);
    EXPECT_LE(lengths[0], 2 * ms);
}

// Several CPUs: a program that waits in ring 3 for what another one does there.

void spin_until(const std::atomic<bool>& flag) {
    while (!flag) arch::relax();
}
void spin_until_a_cpu_is_idle() {
    while (true) {
        const LockGuard guard{environments.lock};
        if (environments.idle_cpus != 0) return;
    }
}

TEST_F(SchedulerTest, TwoCpusRunTwoProgramsAtOnce) {
    boot(2);
    std::array<std::atomic<bool>, 2> there{};
    for (unsigned i = 0; i < 2; ++i)
        add([&there, i](const TrapFrame& frame, unsigned) {
            there[i] = true;
            spin_until(there[1 - i]);
            return leave(frame);
        });
    run_programs(2, 0);
    EXPECT_EQ(program(0).ends + program(1).ends, 2U);
}

TEST_F(SchedulerTest, ACpuWithNothingToDoIsWokenForAMessage) {
    boot(2);
    std::atomic<bool> received{false};
    const EnvId receiver = add([&received](const TrapFrame& frame, unsigned turn) {
        if (turn == 0) return system_call(frame, Number::ipc_receive);
        received = true;
        return leave(frame, frame.rdx);
    });
    add([&received, receiver](const TrapFrame& frame, unsigned turn) {
        if (turn == 0) {
            spin_until_a_cpu_is_idle();
            return system_call(frame, Number::ipc_try_send, receiver, 42);
        }
        EXPECT_EQ(frame.rax, 0U);
        spin_until(received);  // this CPU stays here: the other one must run the receiver
        return leave(frame);
    });
    run_programs(2, 0);
    EXPECT_EQ(program(0).ending.status, 42);
    EXPECT_EQ(program(1).ending.kind, Kind::Exited);
}

TEST_F(SchedulerTest, TheLastEndWakesTheCpusWithNothingToDo) {
    boot(2);
    add([](const TrapFrame& frame, unsigned) {
        spin_until_a_cpu_is_idle();
        return leave(frame);
    });
    run_programs(2, 0);
}

TEST_F(SchedulerTest, WhoIsBoundRunsOnItsCpuOnly) {
    boot(3);
    for (unsigned i = 0; i < 6; ++i)
        add(
            [](const TrapFrame& frame, unsigned turn) {
                EXPECT_EQ(arch::cpu_index(), frame.rbx % 3);
                if (turn == 20) return leave(frame);
                return turn % 2 == 0 ? timer(frame) : system_call(frame, Number::yield);
            },
            i % 3);
    run_programs(3, 0);
    for (unsigned i = 0; i < 6; ++i) EXPECT_EQ(program(i).ends, 1U);
}

TEST_F(SchedulerTest, TheLimitReachesOneThatRunsOnAnotherCpu) {
    boot(2);
    std::atomic<bool> there{false};
    add(
        [&there](const TrapFrame& frame, unsigned) {
            there = true;  // it never leaves by itself
            while (arch::fake::kicks(1) == 0) arch::relax();
            return trap(frame, arch::vector::kick);
        },
        1);
    add(
        [&there](const TrapFrame& frame, unsigned) {
            spin_until(there);
            arch::fake::set_timestamp(100 * ms);
            return timer(frame);
        },
        0);
    run_programs(2, 50 * ms);
    for (unsigned i = 0; i < 2; ++i) {
        EXPECT_EQ(program(i).ending.kind, Kind::LimitReached);
        EXPECT_EQ(program(i).ends, 1U);
    }
}

TEST_F(SchedulerTest, AllThatHappensAtOnceEndsWell) {
    constexpr unsigned cpus = 4, count = 60, turns = 40;
    boot(cpus);
    std::vector<EnvId> ids;
    for (unsigned i = 0; i < count; ++i) {
        const EnvId other = ids.empty() ? 0 : ids[std::size_t{i} * 7 % ids.size()];
        ids.push_back(add([other](const TrapFrame& frame, unsigned turn) {
            switch ((frame.rbx * 31 + std::uint64_t{turn} * 7) % 8) {
                case 0: return timer(frame);
                case 1: return system_call(frame, Number::yield);
                case 2: return system_call(frame, Number::ipc_try_send, other, turn);
                case 3:
                    return system_call(frame,
                                       turn % 5 == 0 ? Number::ipc_receive : Number::nothing);
                case 4: return trap(frame, arch::vector::kick);
                case 5:
                    if (turn > turns) return trap(frame, arch::vector::invalid_opcode);
                    return system_call(frame, Number::env_id);
                case 6:
                    if (turn > turns / 2) return system_call(frame, Number::wait, other);
                    return timer(frame);
                default: return turn > turns ? leave(frame) : system_call(frame, Number::yield);
            }
        }));
    }
    run_programs(cpus, 0);
    for (unsigned i = 0; i < count; ++i) {
        EXPECT_EQ(program(i).ends, 1U) << i;
        EXPECT_NE(program(i).ending.kind, Kind::NotYet) << i;
        EXPECT_NE(program(i).ending.kind, Kind::LimitReached) << i;
    }
}

}  // namespace
}  // namespace kern
