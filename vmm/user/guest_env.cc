// SPDX-License-Identifier: MIT
#include "vmm/user/guest_env.hh"

#include <algorithm>
#include <array>
#include <new>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "kern/arch/arch.hh"
#include "kern/lib/fixed.hh"
#include "kern/lib/print.hh"
#include "kern/proc/environments.hh"

namespace vmm {

namespace arch = kern::arch;

// In the data section, not in .bss: see proc_evidence.
constinit GuestEvidence guest_evidence{
    .magic = {'N', 'E', 'S', 'T', 'L', 'I', 'N', 'G', '-', 'G', 'U', 'E', 'S', 'T', '1'}};

namespace {

/// RIP where the guest begins: CS is 0 there, and offsets have 16 bits.
constexpr std::uint64_t real_mode_end = 0x1'0000;

GuestRecord* new_record() {
    ++guest_evidence.guests;
    if (guest_evidence.record_count == guest_evidence.records.size()) return nullptr;
    return &guest_evidence.records[guest_evidence.record_count++];
}

/// "guest1" for the first one of this boot.
std::string_view new_name(std::span<char> buffer) {
    return kern::format_into(buffer, "guest{}",
                             std::array{kern::PrintArgument{guest_evidence.guests}});
}

bool are_valid(const GuestEnv::Options& options) {
    return options.memory_bytes != 0 && options.memory_bytes % page_size == 0 &&
           options.memory_bytes <= guest_physical_end && options.rip < real_mode_end &&
           options.rip < options.memory_bytes;
}

GuestEnd end_of_failure(const Exit& last) {
    if (std::holds_alternative<exit::EntryFailure>(last.reason)) return GuestEnd::Refused;
    if (std::holds_alternative<exit::Hypercall>(last.reason) ||
        std::holds_alternative<exit::Unknown>(last.reason))
        return GuestEnd::Unhandled;
    return GuestEnd::Failed;
}

}  // namespace

std::expected<kern::EnvId, Error> GuestEnv::make(const kern::Env& owner, const EntryFormat& format,
                                                 const Options& options) {
    const auto probe = parse_guest_probe(owner.probe);
    if (!are_valid(options) || !probe) return std::unexpected{Error::InvalidArgument};
    const kern::FrameAccounts before = kern::frames().accounts();
    auto memory = MappedMemory::create(format, options.memory_bytes);
    if (!memory) return std::unexpected{memory.error()};
    std::unique_ptr<kern::Env> env{new (std::nothrow) kern::Env};
    std::unique_ptr<GuestEnv> guest{new (std::nothrow)
                                        GuestEnv{std::move(*memory), options, *probe}};
    if (!env || !guest) return std::unexpected{Error::OutOfMemory};

    GuestEnv& made = *guest;
    env->runner = std::move(guest);
    env->state = kern::Env::State::Unstarted;
    env->parent = owner.id;
    env->keep = owner.keep;
    env->on_end = note_end;
    env->context = &made;
    kern::Env& added = *env;
    const auto id = kern::environments.add(std::move(env));
    if (!id) return id.error() == Error::Busy ? std::unexpected{Error::OutOfMemory} : id;

    made.record_ = new_record();
    std::array<char, 32> name;
    added.name.assign(new_name(name));
    if (GuestRecord* const record = made.record_) {
        kern::copy_text(record->name, added.name.view());
        kern::copy_text(record->owner_name, owner.name.view());
        record->id = *id;
        record->owner = owner.id;
        record->end = GuestEnd::Made;
        record->memory_bytes = options.memory_bytes;
        record->rip = options.rip;
        record->hypercalls = options.hypercalls ? 1 : 0;
        record->move = probe->move;
        record->table_root = made.table().root().value();
        record->table_format = &format == &ept_format ? 1 : 0;
        record->before = before;
    }
    return id;
}

GuestEnv::~GuestEnv() {
    vm_.reset();
    memory_.reset();
    if (record_ == nullptr) return;
    record_->kept = 0;
    record_->destroyed = 1;
    record_->after = kern::frames().accounts();
}

std::expected<void, Error> GuestEnv::start(const kern::Env& env) {
    if (vm_) return std::unexpected{Error::AlreadyExists};
    auto vm = Vm::create(*memory_, {.name = env.name.view(), .hypercalls = options_.hypercalls});
    if (!vm) return std::unexpected{vm.error().error};
    vm_ = std::move(*vm);
    Vcpu& vcpu = vm_->vcpu(0);
    vcpu.backend().start_real_mode(0);
    vcpu.registers().rip = options_.rip;
    vcpu.make_runnable();
    exits_until_move_ = probe_.move;
    SwitchProbe& inside = probe_of(vcpu);
    inside.kicks_at_entries = probe_.move != 0;
    inside.spoiled_entry = probe_.spoil;
    if (record_ != nullptr) {
        record_->end = GuestEnd::Running;
        record_->control_block = inside.control_block.value();
        record_->started = kern::frames().accounts();
    }
    return {};
}

std::optional<kern::Ending> GuestEnv::run(kern::Env& env, std::uint64_t slice_end) {
    Vcpu& vcpu = vm_->vcpu(0);
    const unsigned cpu = arch::cpu_index();
    if (record_ != nullptr) {
        ++record_->slices;
        record_->cpus |= 1ULL << cpu;
        if (last_cpu_ && *last_cpu_ != cpu) ++record_->moves;
    }
    last_cpu_ = cpu;

    arch::restore_interrupts(true);
    if (vcpu.enter(slice_end)) {
        bool moves = false;
        while (!moves && vcpu.step()) moves = is_time_to_move(vcpu);
        vcpu.leave();
        if (moves) env.only_cpu = (cpu + 1) % kern::program_cpus();
    }
    std::optional<kern::Ending> ending;
    if (vm_->ending()) ending = finish(vcpu);
    arch::disable_interrupts();
    note_state(env, vcpu);
    return ending;
}

/// Whether the guest has exited so often that it goes to another CPU now.
bool GuestEnv::is_time_to_move(const Vcpu& vcpu) {
    if (probe_.move == 0 || vcpu.history().count() < exits_until_move_) return false;
    exits_until_move_ += probe_.move;
    return true;
}

/// The guest has ended, by itself or by the host: what the process layer is told. The console gets
/// the reason.
kern::Ending GuestEnv::finish(Vcpu& vcpu) {
    vm_->flush_lines();
    const VmResult& result = vm_->result();
    const std::uint64_t rip = vcpu.registers().rip;
    if (result.end == VmResult::End::Exited) {
        end_ = GuestEnd::Exited;
        return {.kind = kern::Ending::Kind::Exited,
                .status = static_cast<std::int64_t>(result.status),
                .rip = rip};
    }
    end_ = GuestEnd::Failed;
    if (vcpu.history().size() != 0) end_ = end_of_failure(vcpu.history().back(0));
    if (end_ == GuestEnd::Unhandled) kern::kprint("Unhandled VMEXIT, aborting guest.\n");
    report(*vm_, result);
    return {.kind = kern::Ending::Kind::Aborted, .rip = rip, .reason = result.reason};
}

/// After each slice: what is seen from outside of a guest that runs or hangs.
void GuestEnv::note_state(kern::Env& env, Vcpu& vcpu) {
    const Registers& r = vcpu.backend().registers;
    kern::arch::TrapFrame& frame = env.frame;
    frame.rax = r.rax, frame.rcx = r.rcx, frame.rdx = r.rdx, frame.rbx = r.rbx;
    frame.rsp = r.rsp, frame.rbp = r.rbp, frame.rsi = r.rsi, frame.rdi = r.rdi;
    frame.r8 = r.r8, frame.r9 = r.r9, frame.r10 = r.r10, frame.r11 = r.r11;
    frame.r12 = r.r12, frame.r13 = r.r13, frame.r14 = r.r14, frame.r15 = r.r15;
    frame.rip = r.rip, frame.rflags = r.rflags;
    if (record_ == nullptr) return;

    GuestRecord& record = *record_;
    record.registers = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8,
                        r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip, r.rflags};
    const SystemRegisters system = vcpu.backend().system_registers();
    record.cr0 = system.cr0;
    record.cr3 = system.cr3;
    record.cr4 = system.cr4;
    record.efer = system.efer;
    record.exits = vcpu.history().count();
    if (vcpu.history().size() != 0) {
        const Exit& last = vcpu.history().back(0);
        record.exit_code = last.code;
        record.exit_information_1 = last.information[0];
        record.exit_information_2 = last.information[1];
    }
    record.account = probe_of(vcpu).account;
}

/// Called by the process layer when the guest has ended, before anything of it is given back.
void GuestEnv::note_end(void* context, const kern::Env& env) {
    const GuestEnv& guest = *static_cast<const GuestEnv*>(context);
    if (guest.record_ == nullptr) return;
    GuestRecord& record = *guest.record_;
    const kern::Ending& ending = env.ending;
    if (guest.vm_) record.end = guest.end_;
    switch (ending.kind) {
        case kern::Ending::Kind::Exited: kern::copy_text(record.reason, "exited"); break;
        case kern::Ending::Kind::Aborted: kern::copy_text(record.reason, ending.reason); break;
        case kern::Ending::Kind::LimitReached:
            if (guest.vm_) record.end = GuestEnd::Killed;
            kern::copy_text(record.reason, "time limit");
            break;
        default: kern::copy_text(record.reason, "its program ended before it was started"); break;
    }
    record.status = static_cast<std::uint64_t>(ending.status);
    record.kept = env.keep ? 1 : 0;
    record.pages = guest.memory_->table().present_pages();
    record.ended = kern::frames().accounts();
}

GuestEnv* guest_of(kern::Env& env) {
    // In this kernel nobody else makes runners.
    return static_cast<GuestEnv*>(env.runner.get());
}

kern::Env* find_own(kern::Env& caller, kern::EnvId id) {
    if (id == 0 || id == caller.id) return &caller;
    kern::Env* const env = kern::environments.find(id);
    if (env == nullptr || env->parent != caller.id || env->state == kern::Env::State::Ended)
        return nullptr;
    return env;
}

}  // namespace vmm
