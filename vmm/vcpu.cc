// SPDX-License-Identifier: MIT
#include "vmm/vcpu.hh"

#include <algorithm>
#include <utility>

#include "kern/arch/arch.hh"
#include "vmm/exits/exits.hh"
#include "vmm/vm.hh"

namespace vmm {
namespace {

namespace arch = kern::arch;

constexpr unsigned priority_class_shift = 4;
/// How often an interrupt that waits for a lower CR8 is tried again.
constexpr std::uint64_t priority_poll_ns = 1'000'000;
constexpr std::uint64_t longest_alarm_ns = 1'000'000'000;

/// The earlier of two points of time, of which 0 means never.
constexpr std::uint64_t earlier(std::uint64_t a, std::uint64_t b) {
    if (a == 0 || b == 0) return a + b;
    return std::min(a, b);
}

}  // namespace

Vcpu::Vcpu(Vm& vm, unsigned index, std::unique_ptr<VcpuBackend> backend)
    : vm_{&vm}, index_{index}, backend_{std::move(backend)}, apic_{index} {}

[[gnu::hot]] void Vcpu::run(std::uint64_t limit_ns) {
    if (!enter(limit_ns == 0 ? 0 : arch::nanoseconds() + limit_ns)) return;
    while (step());
    if (!vm_->ending())
        vm_->end({.end = VmResult::End::Stopped, .reason = "time limit", .vcpu = index_});
    leave();
}

bool Vcpu::enter(std::uint64_t until) {
    if (!vm_->backend().enable_on_this_cpu()) {
        vm_->end({.reason = "virtualization could not be turned on, on this CPU", .vcpu = index_});
        return false;
    }
    until_ = until;
    slice_over_ = false;
    clock_changed_ = true;
    cpu_.store(arch::cpu_index());
    backend_->enter_cpu();
    return true;
}

[[gnu::hot]] bool Vcpu::step() {
    if (backend_->return_requested()) {
        // Acknowledged first and looked at afterwards: what is asked for from here on makes the
        // world switch turn back.
        backend_->acknowledge_requests();
        if (vm_->ending()) return false;
        take_requests();
        may_have_event_ = true;
    }
    if (clock_changed_) look_at_clock();
    if (slice_over_) return false;
    if (activity_ == Activity::Halted && should_wake()) activity_ = Activity::Running;
    if (activity_ == Activity::Running)
        enter_guest();
    else
        sleep();
    return true;
}

void Vcpu::leave() {
    if (armed_for_ != 0) arch::set_timer(0);
    armed_for_ = 0;
    backend_->leave_cpu();
    cpu_.store(no_cpu);
}

std::optional<unsigned> Vcpu::cpu() const {
    const unsigned cpu = cpu_.load();
    if (cpu == no_cpu) return std::nullopt;
    return cpu;
}

void Vcpu::kick() const {
    if (const auto on = cpu(); on && *on != arch::cpu_index()) arch::kick(*on);
}

void Vcpu::take_requests() {
    if (init_pending_.load() && init_pending_.exchange(false)) {
        activity_ = Activity::WaitingForStartup;
        apic_.reset();
        clock_changed_ = true;
    }
    if (startup_pending_.load() == 0) return;
    const std::uint32_t startup = startup_pending_.exchange(0);
    if (startup == 0 || activity_ != Activity::WaitingForStartup) return;
    backend_->start_real_mode(static_cast<std::uint8_t>(startup));
    activity_ = Activity::Running;
}

void Vcpu::look_at_clock() {
    const std::uint64_t now = arch::nanoseconds();
    clock_changed_ = false;
    if (until_ != 0 && now >= until_) {
        slice_over_ = true;
        return;
    }
    apic_.advance_timer(now);
    may_have_event_ = true;
    std::uint64_t next = earlier(until_, apic_.timer_deadline().value_or(0));
    if (polls_priority_ && activity_ == Activity::Running)
        next = earlier(next, now + priority_poll_ns);
    // The host's timer may come early where it cannot hold so long a time: ask again by then.
    if (next != 0) next = std::min(next, now + longest_alarm_ns);
    if (next == armed_for_ && now < armed_for_) return;
    if (next != 0 || armed_for_ != 0)
        arch::set_timer(next == 0 ? 0 : std::max<std::uint64_t>(next - std::min(next, now), 1));
    armed_for_ = next;
}

bool Vcpu::should_wake() {
    const bool interrupts_enabled = (registers().rflags & rflags::interrupt_enable) != 0;
    return (nmi_pending_.load() && backend_->can_inject_nmi()) ||
           (interrupts_enabled && apic_.deliverable());
}

/// Most entries want no window, as the one before did not.
void Vcpu::request_window(bool wanted) {
    if (wanted || wants_window_) backend_->request_interrupt_window(wanted);
    wants_window_ = wanted;
}

/// Who posts an event asks for a return, or is this CPU's clock: without either there is none since
/// the last look found none.
void Vcpu::deliver_interrupts() {
    if (nmi_pending_.load() && backend_->can_inject_nmi() && nmi_pending_.exchange(false))
        backend_->inject(
            {.kind = Event::Kind::NonMaskableInterrupt, .vector = vector::non_maskable_interrupt});

    if (!apic_.has_request()) {
        if (polls_priority_) clock_changed_ = true;
        polls_priority_ = false;
        may_have_event_ = nmi_pending_.load();
        return request_window(false);
    }
    const auto vector = apic_.deliverable();
    const bool held = !vector && apic_.is_held_by_task_priority();
    if (held != polls_priority_) {
        polls_priority_ = held;
        clock_changed_ = true;
    }
    if (!vector) {
        request_window(false);
    } else if (backend_->can_inject_interrupt()) {
        request_window(false);
        apic_.accept(*vector);
        clock_changed_ = true;  // the timer may request it again from now on
        backend_->inject({.kind = Event::Kind::ExternalInterrupt, .vector = *vector});
    } else {
        request_window(true);
    }
}

[[gnu::hot]] void Vcpu::enter_guest() {
    if (may_have_event_) deliver_interrupts();
    // Looking at the clock may request an interrupt, which is then to be delivered in its turn.
    if (clock_changed_) return;
    arch::disable_interrupts();
    // From here on an interrupt of the host's timer waits for the guest and ends its run; one that
    // has come already has been taken, and is seen by the clock alone.
    if (armed_for_ != 0 && arch::nanoseconds() >= armed_for_) {
        arch::restore_interrupts(true);
        clock_changed_ = true;
        return;
    }
    const Exit& exit = history_.add([this] { return run_guest(); });
    if (const Handled handled = handle_exit(*this, exit); !handled)
        vm_->end({.end = VmResult::End::Failed,
                  .reason = handled.error().reason,
                  .error = handled.error().error,
                  .instruction = handled.error().instruction,
                  .vcpu = index_});
}

/// CR8 and the APIC's task priority are one register [amd/vol2 16.6.4]. The guest writes CR8
/// without an exit, so here, and nowhere else, each is told what the other holds.
[[gnu::hot]] Exit Vcpu::run_guest() {
    const unsigned before = apic_.task_priority() >> priority_class_shift;
    registers().cr8 = before;
    Exit exit = backend_->run();
    const std::uint64_t now = registers().cr8;
    if (now != before)
        apic_.set_task_priority(static_cast<std::uint8_t>(now << priority_class_shift));
    return exit;
}

void Vcpu::sleep() {
    const bool interrupts_enabled = (registers().rflags & rflags::interrupt_enable) != 0;
    const bool has_alarm =
        activity_ == Activity::Halted && interrupts_enabled && apic_.timer_deadline().has_value();
    if (!vm_->may_sleep(index_, has_alarm)) return;
    arch::disable_interrupts();
    const bool alarm_went_off = armed_for_ != 0 && arch::nanoseconds() >= armed_for_;
    if (!backend_->return_requested() && !alarm_went_off) arch::wait_for_interrupt();
    arch::restore_interrupts(true);
    clock_changed_ = true;
}

}  // namespace vmm
