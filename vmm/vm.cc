// SPDX-License-Identifier: MIT
#include "vmm/vm.hh"

#include <algorithm>
#include <new>
#include <utility>

#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"

namespace vmm {
namespace {

namespace arch = kern::arch;

constexpr std::uint64_t ns_per_ms = 1'000'000;

constinit const Backend* prepared_backend = nullptr;

}  // namespace

std::expected<void, const char*> Vm::prepare(const Backend& backend) {
    if (const char* const reason = backend.why_unavailable()) return std::unexpected{reason};
    if (const auto started = backend.start(); !started)
        return std::unexpected{started.error() == Error::OutOfMemory
                                   ? "no memory for the virtualization hardware"
                                   : "the virtualization hardware could not be prepared"};
    prepared_backend = &backend;
    return {};
}

const Backend* Vm::prepared() {
    return prepared_backend;
}

Vm::Vm(GuestMemory& memory, const Options& options)
    : backend_{prepared_backend},
      memory_{&memory},
      observer_{options.observer},
      hypercalls_{options.hypercalls},
      open_ports_{options.open_ports},
      x2apic_{options.x2apic},
      io_apic_{send_from_device, this},
      uart_{print_line, this, io_apic_},
      debug_console_{print_line, this},
      mmio_console_{print_line, this, io_apic_},
      vcpu_count_{options.vcpu_count},
      time_limit_ns_{options.time_limit_ms * ns_per_ms} {
    const std::size_t length = std::min(options.name.size(), name_.size() - 1);
    std::ranges::copy(options.name.substr(0, length), name_.begin());
    const bool attached = mmio_.attach(ApicPage::address, ApicPage::bytes, apic_page_) &&
                          mmio_.attach(IoApic::address, IoApic::bytes, io_apic_) &&
                          mmio_.attach(MmioConsole::address, MmioConsole::bytes, mmio_console_);
    kern::check(attached, "Vm: the devices do not lie apart in the MMIO hole");
}

Vm::~Vm() {
    memory_->set_shootdown(nullptr, nullptr);
}

std::expected<std::unique_ptr<Vm>, Refusal> Vm::create(GuestMemory& memory,
                                                       const Options& options) {
    kern::check(prepared_backend != nullptr, "Vm::create: Vm::prepare comes first");
    if (options.vcpu_count == 0 || options.vcpu_count > max_vcpus)
        return std::unexpected{Refusal{Error::InvalidArgument, "a VM has 1 to 8 virtual CPUs"}};
    if (options.vcpu_count > arch::cpu_count())
        return std::unexpected{Refusal{Error::InvalidArgument,
                                       "more virtual CPUs than this machine has CPUs: give the "
                                       "VM fewer, or the machine more"}};

    std::unique_ptr<Vm> vm{new (std::nothrow) Vm{memory, options}};
    const Refusal no_memory{Error::OutOfMemory, "no memory for the virtual CPUs"};
    if (!vm) return std::unexpected{no_memory};
    for (unsigned index = 0; index < options.vcpu_count; ++index) {
        auto backend = vm->backend().create_vcpu(memory);
        if (!backend) return std::unexpected{no_memory};
        (*backend)->set_optional_exits(options.exits);
        vm->vcpus_[index].reset(new (std::nothrow) Vcpu{*vm, index, std::move(*backend)});
        if (!vm->vcpus_[index]) return std::unexpected{no_memory};
        if (!options.x2apic) vm->vcpus_[index]->apic().set_mode(X2Apic::Mode::Xapic);
    }
    memory.set_shootdown(shoot_down, vm.get());
    return vm;
}

void Vm::run_vcpu(void* vcpu_pointer) {
    Vcpu& vcpu = *static_cast<Vcpu*>(vcpu_pointer);
    Vm& vm = vcpu.vm();
    vcpu.run(vcpu.index() == 0 ? vm.time_limit_ns_ : 0);
    vm.running_.fetch_sub(1, std::memory_order_release);
}

VmResult Vm::run() {
    kern::check(arch::cpu_index() == 0, "Vm::run: virtual CPU 0 runs on CPU 0");
    running_.store(1);
    unsigned started = 1;
    for (; started < vcpu_count_; ++started) {
        running_.fetch_add(1);
        if (arch::start_on(started, run_vcpu, vcpus_[started].get())) continue;
        running_.fetch_sub(1);
        end({.reason = "a CPU that this VM needs is busy", .vcpu = started});
        break;
    }
    run_vcpu(vcpus_[0].get());
    while (running_.load(std::memory_order_acquire) != 0) arch::relax();
    // A CPU that has left its run loop is on its way home still.
    for (unsigned index = 1; index < started; ++index)
        while (!arch::is_idle(index)) arch::relax();
    flush_lines();
    if (result_.end == VmResult::End::Failed) report(*this, result_);
    return result_;
}

void Vm::end(const VmResult& result) {
    {
        const kern::LockGuard guard{lock_};
        if (ended_) return;
        ended_ = true;
        result_ = result;
    }
    ending_.store(true, std::memory_order_release);
    for (unsigned index = 0; index < vcpu_count_; ++index) {
        vcpus_[index]->backend().request_return();
        vcpus_[index]->kick();
    }
}

void Vm::send(const InterruptCommand& command, unsigned sender) {
    for (unsigned index = 0; index < vcpu_count_; ++index) {
        Vcpu& target = *vcpus_[index];
        if (!target.apic().is_addressed(command, sender)) continue;
        switch (command.kind) {
            case InterruptCommand::Kind::Fixed:
            case InterruptCommand::Kind::LowestPriority: target.apic().post(command.vector); break;
            case InterruptCommand::Kind::NonMaskable: target.post_nmi(); break;
            case InterruptCommand::Kind::Init: target.post_init(); break;
            case InterruptCommand::Kind::Startup: target.post_startup(command.vector); break;
        }
        wake(index);
        if (command.kind == InterruptCommand::Kind::LowestPriority) return;
    }
}

void Vm::send_from_device(void* vm, const InterruptCommand& command) {
    constexpr unsigned no_vcpu = ~0U;
    static_cast<Vm*>(vm)->send(command, no_vcpu);
}

void Vm::wake(unsigned index) {
    {
        const kern::LockGuard guard{lock_};
        asleep_ &= ~(1ULL << index);
        vcpus_[index]->backend().request_return();
    }
    vcpus_[index]->kick();
}

bool Vm::may_sleep(unsigned index, bool has_alarm) {
    {
        const kern::LockGuard guard{lock_};
        // wake() asks for a return under this lock: either we see it, or it finds us asleep.
        if (vcpus_[index]->backend().return_requested()) return false;
        const std::uint64_t bit = 1ULL << index;
        asleep_ = has_alarm ? asleep_ & ~bit : asleep_ | bit;
        const std::uint64_t everyone = (1ULL << vcpu_count_) - 1;
        if (asleep_ != everyone) return true;
    }
    end({.reason = "all virtual CPUs are halted for ever", .vcpu = index});
    return false;
}

void Vm::shoot_down(void* context) {
    Vm& vm = *static_cast<Vm*>(context);
    std::uint64_t cpus = 0;
    for (unsigned index = 0; index < vm.vcpu_count_; ++index) {
        vm.vcpus_[index]->backend().flush_tlb();
        // A vCPU that comes to a CPU later takes its flush with it.
        if (const auto cpu = vm.vcpus_[index]->cpu()) cpus |= 1ULL << *cpu;
    }
    if (cpus != 0) arch::interrupt_and_wait(cpus);
}

void Vm::print_line(void* vm, std::string_view line) {
    kern::kprint("[{}] {}\n", static_cast<Vm*>(vm)->name(), line);
}

std::uint64_t Vm::exits() const {
    std::uint64_t sum = 0;
    for (unsigned index = 0; index < vcpu_count_; ++index) sum += vcpu(index).history().count();
    return sum;
}

std::uint64_t Vm::nested_faults() const {
    std::uint64_t sum = 0;
    for (unsigned index = 0; index < vcpu_count_; ++index) sum += vcpu(index).nested_faults();
    return sum;
}

OptionalExitCounts Vm::optional_exits() const {
    OptionalExitCounts sum;
    for (unsigned index = 0; index < vcpu_count_; ++index) {
        sum.cr3_writes += vcpu(index).optional_exits().cr3_writes;
        sum.page_faults += vcpu(index).optional_exits().page_faults;
    }
    return sum;
}

}  // namespace vmm
