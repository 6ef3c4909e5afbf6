// SPDX-License-Identifier: MIT
// Guest environments on the host: a guest is a C++ function, the program that makes it an Env.
#include "vmm/user/guest_env.hh"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "kern/arch/host/fake.hh"
#include "kern/proc/environments.hh"
#include "vmm/frame_owners.hh"
#include "vmm/hypercall.hh"
#include "vmm/user/syscall_numbers.hh"
#include "vmm/user/system_calls.hh"

namespace vmm {
namespace {

namespace fake = kern::arch::fake;
using kern::Ending;
using kern::Env;
using kern::EnvId;
using kern::environments;
using kern::syscall::Failure;

constexpr kern::Uva page_of_program{0x400000};
constexpr std::uint64_t memory_bytes = 16 * page_size;

/// A vCPU whose guest is a function that is asked for the next exit.
class FakeVcpu final : public VcpuBackend {
   public:
    using Guest = std::function<Exit(FakeVcpu&)>;

    explicit FakeVcpu(Guest guest) : guest_{std::move(guest)} {}
    void start_protected_mode(Gpa, std::uint32_t, std::uint32_t) override {}
    void start_real_mode(std::uint8_t vector) override {
        EXPECT_EQ(vector, 0);
        registers = {.rflags = 2};
    }
    SystemRegisters system_registers() const override { return {.cr0 = 0x10, .cr3 = 0x5000}; }
    void set_optional_exits(const OptionalExits&) override {}
    void set_efer(std::uint64_t) override {}
    void set_pat(std::uint64_t) override {}
    std::uint64_t tsc_offset() const override { return 0; }
    void set_tsc_offset(std::uint64_t) override {}
    unsigned privilege_level() const override { return 0; }
    void enter_cpu() override {
        EXPECT_FALSE(here_) << "it is on a CPU already";
        here_ = true;
    }
    void leave_cpu() override {
        EXPECT_TRUE(here_);
        here_ = false;
        ++probe.account.clears;
    }
    Exit run() override {
        EXPECT_TRUE(here_);
        kern::arch::restore_interrupts(true);
        if (return_requested()) return {.reason = exit::ExternalInterrupt{}};
        ++probe.account.entries;
        return guest_(*this);
    }
    bool can_inject_interrupt() const override { return true; }
    bool can_inject() const override { return true; }
    bool can_inject_nmi() const override { return true; }
    void inject(const Event&) override {}
    void request_interrupt_window(bool) override {}
    void skip_instruction(const Exit&) override { ++registers.rip; }
    void flush_tlb() override {}

    SwitchProbe probe{.control_block = Hpa{0x7000}};

   private:
    Guest guest_;
    bool here_ = false;
};

FakeVcpu::Guest guest_to_be;

const Probe fake_probe{
    .of = [](VcpuBackend& vcpu) -> SwitchProbe& { return static_cast<FakeVcpu&>(vcpu).probe; }};

const Backend fake_backend{
    .name = "fake",
    .format = &ept_format,
    .why_unavailable = [] { return static_cast<const char*>(nullptr); },
    .start = [] { return std::expected<void, Error>{}; },
    .enable_on_this_cpu = [] { return std::expected<void, Error>{}; },
    .create_vcpu = [](const GuestMemory&) -> std::expected<std::unique_ptr<VcpuBackend>, Error> {
        auto frame = kern::Frame::allocate(frame_owner::vcpu);  // as the real ones do
        if (!frame) return std::unexpected{frame.error()};
        return std::make_unique<FakeVcpu>(guest_to_be);
    },
};

Exit exits_with(auto reason) {
    return {.reason = reason, .code = 0x81, .information = {1, 2}};
}
Exit end_with(FakeVcpu& self, std::uint64_t status) {
    self.registers.rax = hypercall::exit;
    self.registers.rbx = status;
    self.registers.rdx = hypercall::signature;
    return exits_with(exit::Hypercall{});
}

class GuestEnvTest : public testing::Test {
   protected:
    void SetUp() override {
        fake::reset();
        ASSERT_TRUE(Vm::prepare(fake_backend));
        serve_guest_system_calls(fake_probe);
        guest_evidence.guests = guest_evidence.record_count = 0;
        guest_evidence.records.fill({});
        environments.cpus = 4;
        before_ = kern::frames().accounts();
        program_ = &make_program("program");
    }
    void TearDown() override {
        kern::frames().fail_from(0);
        environments.current() = nullptr;
        environments.end_waiting(Ending::Kind::Exited);
        EXPECT_EQ(environments.living(), 0U);
        EXPECT_EQ(kern::frames().accounts(), before_);
        guest_to_be = nullptr;
    }

    static Env& make_program(std::string_view name) {
        auto env = std::make_unique<Env>();
        env->space = std::move(*kern::AddressSpace::create());
        env->name.assign(name);
        EXPECT_TRUE(env->space->allocate_page(page_of_program, {.write = true, .execute = false}));
        return *environments.find(*environments.add(std::move(env)));
    }
    Env& make_guest(const GuestEnv::Options& options = {.memory_bytes = memory_bytes,
                                                        .rip = 0x7c00}) {
        const auto id = GuestEnv::make(*program_, ept_format, options);
        EXPECT_TRUE(id.has_value());
        return *environments.find(*id);
    }
    /// Gives the guest the program's page at `gpa`, as sys_ept_map does.
    void give_page(Env& guest, Gpa gpa) {
        auto frame = program_->space->reference(page_of_program);
        GuestEnv& inside = *guest_of(guest);
        ASSERT_TRUE(inside.table().map(gpa, frame->address(), read_write_execute));
        frame->release();
    }
    Env& start(FakeVcpu::Guest guest, const GuestEnv::Options& options) {
        guest_to_be = std::move(guest);
        Env& env = make_guest(options);
        EXPECT_TRUE(guest_of(env)->start(env));
        return env;
    }
    /// As the scheduler does, without the waiting.
    static std::optional<Ending> run_slice(Env& env, std::uint64_t nanoseconds = 1'000'000) {
        env.state = Env::State::Running;
        ++environments.running;
        kern::arch::disable_interrupts();
        const auto ending = env.runner->run(env, kern::arch::nanoseconds() + nanoseconds);
        EXPECT_FALSE(fake::interrupts_enabled());
        kern::arch::restore_interrupts(true);
        if (ending) {
            environments.end(env, *ending);
        } else {
            --environments.running;
            env.state = Env::State::Runnable;
        }
        return ending;
    }
    std::uint64_t call(syscall::Number number, std::uint64_t first, std::uint64_t second = 0,
                       std::uint64_t third = 0) {
        environments.current() = program_;
        program_->frame.rax = std::to_underlying(number);
        program_->frame.rdi = first;
        program_->frame.rsi = second;
        program_->frame.rdx = third;
        kern::serve_system_call(*program_);
        environments.current() = nullptr;
        return program_->frame.rax;
    }
    static constexpr std::uint64_t failure(Failure reason) {
        return -static_cast<std::uint64_t>(std::to_underlying(reason));
    }
    static std::uint64_t in_use(kern::FrameOwner owner) {
        return kern::frames().accounts()[owner.index];
    }
    static const GuestRecord& record(std::size_t index = 0) {
        return guest_evidence.records[index];
    }

    kern::FrameAccounts before_{};
    Env* program_ = nullptr;
};

TEST_F(GuestEnvTest, IsMadeWithNothingInIt) {
    Env& env = make_guest();
    GuestEnv& guest = *guest_of(env);
    EXPECT_EQ(env.state, Env::State::Unstarted);
    EXPECT_EQ(env.parent, program_->id);
    EXPECT_EQ(env.space, nullptr);
    EXPECT_EQ(guest.memory_bytes(), memory_bytes);
    EXPECT_EQ(guest.table().present_pages(), 0U);
    EXPECT_EQ(guest_of(*program_), nullptr);
    EXPECT_EQ(record().end, GuestEnd::Made);
    EXPECT_EQ(record().table_root, guest.table().root().value());
    EXPECT_EQ(record().table_format, 1U);
    EXPECT_STREQ(record().owner_name.data(), "program");
}

TEST_F(GuestEnvTest, OptionsOutsideOfTheirRangeAreRefused) {
    for (const GuestEnv::Options& options :
         std::initializer_list<GuestEnv::Options>{{.memory_bytes = 0},
                                                  {.memory_bytes = page_size + 1},
                                                  {.memory_bytes = guest_physical_end + page_size},
                                                  {.memory_bytes = ~0ULL << 12},
                                                  {.memory_bytes = page_size, .rip = page_size},
                                                  {.memory_bytes = 1 << 20, .rip = 0x1'0000}})
        EXPECT_EQ(GuestEnv::make(*program_, ept_format, options).error(), Error::InvalidArgument)
            << options.memory_bytes << ' ' << options.rip;
    EXPECT_EQ(environments.living(), 1U);
    EXPECT_EQ(guest_evidence.record_count, 0U);
}

TEST_F(GuestEnvTest, GivesBackItsReferencesAndTables) {
    Env& env = make_guest();
    give_page(env, Gpa{0});
    give_page(env, Gpa{0x5000});
    EXPECT_EQ(guest_of(env)->table().present_pages(), 2U);
    ASSERT_TRUE(program_->space->unmap_page(page_of_program));
    EXPECT_EQ(in_use(kern::frame_owner::user_page), 1U) << "the guest has it still";
    environments.end(env, {.kind = Ending::Kind::LimitReached});
    EXPECT_EQ(in_use(kern::frame_owner::user_page), 0U);
    EXPECT_EQ(in_use(frame_owner::second_level_table), 0U);
    EXPECT_EQ(record().pages, 2U);
    EXPECT_EQ(record().destroyed, 1U);
    EXPECT_EQ(record().end, GuestEnd::Made) << "it was never started";
    EXPECT_EQ(record().after[frame_owner::second_level_table.index], 0U);
}

TEST_F(GuestEnvTest, OutOfMemoryLeavesNothing) {
    kern::frames().fail_from(1);
    EXPECT_EQ(call(syscall::Number::env_mkguest, memory_bytes, 0x7c00),
              failure(Failure::out_of_memory));
    kern::frames().fail_from(0);
    EXPECT_EQ(in_use(frame_owner::second_level_table), 0U);
    EXPECT_EQ(environments.living(), 1U);

    guest_to_be = [](FakeVcpu& self) { return end_with(self, 1); };
    const auto id = call(syscall::Number::env_mkguest, memory_bytes, 0x7c00);
    kern::frames().fail_from(1);
    EXPECT_EQ(call(syscall::Number::guest_start, id), failure(Failure::out_of_memory));
    EXPECT_FALSE(environments.has_runnable());
    kern::frames().fail_from(0);
    EXPECT_EQ(call(syscall::Number::guest_start, id), 0U) << "it may be tried again";
}

TEST_F(GuestEnvTest, SystemCallsRefuseWhatIsWrong) {
    EXPECT_EQ(call(syscall::Number::env_mkguest, 0, 0), failure(Failure::invalid_argument));
    EXPECT_EQ(call(syscall::Number::env_mkguest, memory_bytes, 0, 2),
              failure(Failure::invalid_argument))
        << "a flag that there is not";
    const auto id =
        call(syscall::Number::env_mkguest, memory_bytes, 0x7c00, syscall::flag_hypercalls);
    EXPECT_EQ(record().hypercalls, 1U);
    for (const std::uint64_t nobody : {0ULL, 0x7fff'ff00ULL, ~0ULL, id | 1ULL << 32})
        EXPECT_EQ(call(syscall::Number::guest_start, nobody), failure(Failure::not_found));
    Env& other = make_program("other");
    const auto others = GuestEnv::make(other, ept_format, {.memory_bytes = page_size});
    EXPECT_EQ(call(syscall::Number::guest_start, *others), failure(Failure::not_found));
    EXPECT_EQ(find_own(*program_, *others), nullptr);
    EXPECT_EQ(find_own(*program_, 0), program_);
    EXPECT_EQ(find_own(*program_, static_cast<EnvId>(id))->id, id);
    guest_to_be = [](FakeVcpu& self) { return end_with(self, 1); };
    EXPECT_EQ(call(syscall::Number::guest_start, id), 0U);
    EXPECT_TRUE(environments.has_runnable());
    EXPECT_EQ(call(syscall::Number::guest_start, id), failure(Failure::invalid_argument))
        << "it was started before";
}

TEST_F(GuestEnvTest, RunsFromItsEntryToItsExit) {
    std::uint64_t first_rip = 0;
    Env& env = start(
        [&](FakeVcpu& self) {
            first_rip = self.registers.rip;
            self.registers.r15 = 15;
            return end_with(self, 0x55);
        },
        {.memory_bytes = memory_bytes, .rip = 0x7c00, .hypercalls = true});
    const auto ending = run_slice(env);
    ASSERT_TRUE(ending);
    EXPECT_EQ(first_rip, 0x7c00U);
    EXPECT_EQ(ending->kind, Ending::Kind::Exited);
    EXPECT_EQ(ending->status, 0x55);
    EXPECT_EQ(record().end, GuestEnd::Exited);
    EXPECT_EQ(record().status, 0x55U);
    EXPECT_EQ(record().registers[15], 15U);
    EXPECT_EQ(record().registers[16], 0x7c01U) << "behind the hypercall";
    EXPECT_EQ(record().cr3, 0x5000U);
    EXPECT_EQ(record().control_block, 0x7000U);
    EXPECT_EQ(record().exits, 1U);
    EXPECT_EQ(record().exit_code, 0x81U);
    EXPECT_EQ(record().account.entries, 1U);
    EXPECT_EQ(record().account.clears, 1U);
}

TEST_F(GuestEnvTest, AnUnservedHypercallAbortsIt) {
    Env& env = start([](FakeVcpu& self) { return end_with(self, 0); },
                     {.memory_bytes = memory_bytes, .rip = 0x7c00});
    const auto ending = run_slice(env);
    ASSERT_TRUE(ending);
    EXPECT_EQ(ending->kind, Ending::Kind::Aborted);
    EXPECT_EQ(record().end, GuestEnd::Unhandled);
    EXPECT_NE(fake::console().find("Unhandled VMEXIT, aborting guest.\n"), std::string::npos);
}

TEST_F(GuestEnvTest, MemoryThatNobodyGaveEndsIt) {
    Env& env = start(
        [](FakeVcpu&) {
            return exits_with(exit::NestedPageFault{.address = Gpa{0x3000}, .read = true});
        },
        {.memory_bytes = memory_bytes, .rip = 0x7c00, .hypercalls = true});
    EXPECT_TRUE(run_slice(env));
    EXPECT_EQ(record().end, GuestEnd::Failed);
    EXPECT_EQ(fake::console().find("Unhandled VMEXIT"), std::string::npos);
    EXPECT_NE(std::string{record().reason.data()}.find("not there"), std::string::npos);
}

TEST_F(GuestEnvTest, AFaultOnAPageThatHasComeMeanwhileIsServed) {
    int exits = 0;
    Env& env = start(
        [&](FakeVcpu& self) {
            if (++exits > 1) return end_with(self, 0);
            return exits_with(exit::NestedPageFault{.address = Gpa{0x3000}, .read = true});
        },
        {.memory_bytes = memory_bytes, .rip = 0x7c00, .hypercalls = true});
    give_page(env, Gpa{0x3000});
    EXPECT_EQ(run_slice(env)->kind, Ending::Kind::Exited);
}

TEST_F(GuestEnvTest, ARefusedEntryIsToldApart) {
    Env& env = start(
        [](FakeVcpu&) { return exits_with(exit::EntryFailure{.field = "CR0", .rule = "a rule"}); },
        {.memory_bytes = memory_bytes, .rip = 0});
    EXPECT_TRUE(run_slice(env));
    EXPECT_EQ(record().end, GuestEnd::Refused);
    EXPECT_NE(fake::console().find("a rule"), std::string::npos);
}

TEST_F(GuestEnvTest, ASliceEndsAndTheNextGoesOn) {
    int exits = 0;
    Env& env = start(
        [&](FakeVcpu& self) {
            ++self.registers.rcx;
            return ++exits < 100 ? exits_with(exit::ExternalInterrupt{}) : end_with(self, 9);
        },
        {.memory_bytes = memory_bytes, .rip = 0, .hypercalls = true});
    unsigned slices = 1;
    while (!run_slice(env, 20'000)) {
        EXPECT_EQ(env.frame.rcx, static_cast<std::uint64_t>(exits));
        EXPECT_FALSE(env.only_cpu) << "it may go wherever a CPU is free";
        ++slices;
    }
    EXPECT_GT(slices, 2U);
    EXPECT_EQ(record().slices, slices);
    EXPECT_EQ(record().account.clears, slices);
    EXPECT_EQ(record().status, 9U);
    EXPECT_EQ(record().moves, 0U);
    EXPECT_EQ(record().cpus, 1U);
}

TEST_F(GuestEnvTest, MovesWhenItIsTold) {
    int exits = 0;
    program_->probe = "move:10";
    Env& env = start(
        [&](FakeVcpu& self) {
            return ++exits < 35 ? exits_with(exit::ExternalInterrupt{}) : end_with(self, 0);
        },
        {.memory_bytes = memory_bytes, .rip = 0, .hypercalls = true});
    for (unsigned slice = 1; !run_slice(env, 1'000'000'000); ++slice) {
        EXPECT_EQ(exits, static_cast<int>(10 * slice));
        EXPECT_EQ(env.only_cpu, slice % environments.cpus);
        fake::enter_cpu(*env.only_cpu);
    }
    EXPECT_EQ(exits, 35);
    EXPECT_EQ(record().move, 10U);
    EXPECT_EQ(record().moves, 3U);
    EXPECT_EQ(record().cpus, 0b1111U);
    fake::enter_cpu(0);
}

TEST_F(GuestEnvTest, AProbeReachesTheWorldSwitch) {
    SwitchProbe seen{};
    for (const auto& [word, kicks, spoiled] :
         {std::tuple{"", false, 0U}, {"move:4294967295", true, 0U}, {"spoil:7", false, 7U}}) {
        program_->probe = word;
        Env& env = start(
            [&](FakeVcpu& self) {
                seen = self.probe;
                return end_with(self, 0);
            },
            {.memory_bytes = memory_bytes, .rip = 0, .hypercalls = true});
        EXPECT_TRUE(run_slice(env));
        EXPECT_EQ(seen.kicks_at_entries, kicks) << word;
        EXPECT_EQ(seen.spoiled_entry, spoiled) << word;
    }
    for (const char* wrong : {"move", "move:", "move:0", "spoil:x", "spoil:4294967296", "leap:1"}) {
        program_->probe = wrong;
        EXPECT_EQ(call(syscall::Number::env_mkguest, memory_bytes, 0x7c00),
                  failure(Failure::invalid_argument))
            << wrong;
    }
    program_->probe = {};
}

TEST_F(GuestEnvTest, AKeptOneStaysForWhoeverLooks) {
    program_->keep = true;
    Env& env = start([](FakeVcpu& self) { return end_with(self, 3); },
                     {.memory_bytes = memory_bytes, .rip = 0, .hypercalls = true});
    give_page(env, Gpa{0x2000});
    const EnvId id = env.id;
    EXPECT_TRUE(run_slice(env));
    EXPECT_EQ(record().kept, 1U);
    EXPECT_EQ(record().destroyed, 0U);
    ASSERT_NE(kern::find_kept(id), nullptr);
    EXPECT_EQ(find_own(*program_, id), nullptr) << "it lives no more";
    EXPECT_TRUE(kern::destroy_kept(id));
    EXPECT_EQ(record().destroyed, 1U);
    program_->keep = false;
}

}  // namespace
}  // namespace vmm
