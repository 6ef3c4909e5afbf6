// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string_view>

#include "kern/arch/arch.hh"
#include "kern/proc/env.hh"
#include "kern/sync/spin_lock.hh"

/// The inside of the process layer: who knows env.hh from outside needs nothing of this.
namespace kern {

/// All environments, and who waits for a CPU. Everything here wants `lock` held, and every Env that
/// is in the table is protected by it too, but the frame of one that is Running: that belongs to
/// its CPU.
class Environments {
   public:
    SpinLock lock;  ///< of the whole process layer

    /// A number and a place in the table for `env`, which then lives. Error: Busy (the table is
    /// full).
    std::expected<EnvId, Error> add(std::unique_ptr<Env> env);
    /// The living or kept environment with this identifier, or nullptr.
    Env* find(EnvId id) const;
    /// The same by its name; the one with the lowest place, if there are several. Only living ones.
    Env* find(std::string_view name) const;

    /// Puts `env` at the end of those that wait for a CPU, and wakes a CPU that has nothing to do.
    void make_runnable(Env& env);
    /// Whether some environment waits for a CPU.
    bool has_runnable() const { return first_ != nullptr; }
    /// Takes the environment that has waited longest, of those that may run on this CPU, from the
    /// queue; nullptr if there is none.
    Env* take_runnable();

    /// `env` has ended so: tells who wants to know, and gives back what it has, unless it is kept.
    /// It must not be in the queue, nor may this CPU or another use its address space.
    void end(Env& env, const Ending& ending);
    /// Ends all that wait, for a CPU, a message, a start or another's end, as `kind`. Nobody learns
    /// it who waits too.
    void end_waiting(Ending::Kind kind);
    /// Nothing runs, and nothing is Runnable: ends those that wait for a message or a start, as
    /// Stuck; who waits for the end of one of these goes on. If there is none, all wait for each
    /// other, and all are ended.
    void end_stuck();
    /// How `id` ended, if it is one of those that ended last.
    std::optional<Ending> ending_of(EnvId id) const;
    /// Gives back all of an environment that has ended.
    void destroy(Env& env);

    /// How many live.
    std::size_t living() const { return living_; }

    /// The one that has this CPU, if any: it is Running, or is just being served.
    Env*& current() { return current_[arch::cpu_index()]; }
    /// CPUs that have nothing to do: bit n is CPU n.
    std::uint64_t idle_cpus = 0;
    /// CPUs 0 to cpus - 1 run environments.
    unsigned cpus = 1;
    /// How many environments are Running, on all CPUs.
    std::size_t running = 0;

    /// What open, read and spawn see; nullptr: nothing.
    const FileSystem* files = nullptr;

   private:
    static constexpr unsigned slot_bits = 8;
    static_assert(max_environments == 1U << slot_bits);

    std::array<std::unique_ptr<Env>, max_environments> slots_{};
    std::array<std::uint32_t, max_environments> generations_{};
    std::array<std::uint16_t, max_environments> free_{};  // a stack of places
    std::size_t free_count_ = 0;
    std::size_t used_slots_ = 0;  // places that were ever taken: those above are free too
    struct Ended {
        EnvId id = 0;
        Ending ending{};
    };
    void tell_waiting(EnvId id, const Ending& ending);

    std::array<Ended, syscall::ended_programs> ended_{};  // a ring
    std::uint64_t ended_count_ = 0;
    bool ending_all_ = false;  // nobody is woken
    std::size_t living_ = 0;
    Env* first_ = nullptr;
    Env* last_ = nullptr;
    std::array<Env*, arch::max_cpus> current_{};
};

/// The machine's environments.
extern constinit Environments environments;

/// start_program, with the lock held, for the program whose parent is `parent`.
std::expected<EnvId, Error> start_program_locked(const Peeker& program,
                                                 const ProgramOptions& options, EnvId parent);

/// Puts the answer of the system call wait into the registers of `env`.
void answer_wait(Env& env, const Ending& ending);

/// Serves the system call that `env`, this CPU's current one, has made, with the lock held.
/// Afterwards `env` is Running and goes on, or is Runnable, Receiving or Waiting, or is no more: then
/// environments.current() is nullptr.
void serve_system_call(Env& env);

}  // namespace kern
