// SPDX-License-Identifier: MIT
#pragma once

#include "kern/arch/trap_frame.hh"
#include "kern/cap/hardware.hh"
#include "kern/cap/machine.hh"

namespace kern::cap {

/// What Tcb::machine holds. There is no FPU: programs have general registers only.
struct ThreadState {
    arch::TrapFrame frame;  ///< a thread that has made a system call goes on *behind* SYSCALL
    bool in_call;           ///< when it goes on, its registers get Tcb::message and Tcb::status
};
static_assert(sizeof(ThreadState) <= sizeof(Tcb::machine));
/// Of that thread.
inline ThreadState& state_of(Tcb& tcb) {
    return *reinterpret_cast<ThreadState*>(tcb.machine.data());
}

/// This machine. What concerns other CPUs is in kern/cap/main/cpus.cc.
class HardwareMachine final : public Machine, public Hardware {
   public:
    bool preemption_pending() override;
    void clear(std::uint64_t address, std::uint64_t bytes) override;
    void begin_space(PageTable& table) override;
    void clear_entry(PageTable& table, unsigned index) override;
    void end_table(PageTable& table) override;
    void stop(unsigned cpu) override;
    void mask(unsigned irq) override;
    void unmask(unsigned irq) override;
    void set_page(PageTable& table, unsigned index, const Capability& frame, bool is_writable,
                  bool is_executable) override;
    void set_table(PageTable& table, unsigned index, const PageTable& below) override;
    void set_registers(Tcb& tcb, const Registers& registers) override;
    Registers registers(const Tcb& tcb) override;
    std::uint32_t read_port(std::uint16_t port, unsigned bytes) override;
    void write_port(std::uint16_t port, unsigned bytes, std::uint32_t value) override;

    /// The kernel was entered: what takes long may take its time again.
    void begin_call() { looks_ = 0; }

   private:
    /// So many steps does one call do of what takes long. By number, not by time: so it is the same
    /// in every run.
    static constexpr unsigned most_looks = 8;
    unsigned looks_ = 0;
};

}  // namespace kern::cap
