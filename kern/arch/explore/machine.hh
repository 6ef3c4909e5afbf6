// SPDX-License-Identifier: MIT
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kern/arch/explore/memory.hh"
#include "kern/arch/explore/schedule.hh"

/// The simulated CPUs, for the rest of this room.
namespace kern::explore {

/// What a CPU did, for the story.
struct Event {
    /// Plain accesses, atomic ones, locks, and what the test tells.
    enum class Kind { Read, Write, Load, Store, Change, Lock, Unlock, Wait, Step };
    unsigned cpu = 0;                     ///< who
    Kind kind = Kind::Step;               ///< what
    std::uintptr_t at = 0;                ///< what it touched
    std::size_t bytes = 0;                ///< and how many
    std::uint64_t before = 0;             ///< of an atomic access: what it found
    std::uint64_t after = 0;              ///< and left
    std::vector<std::uintptr_t> calls{};  ///< return addresses, innermost first
    std::string text{};                   ///< of a step
};

/// A place where another CPU could have gone on.
struct Point {
    unsigned cpu = 0;          ///< who
    unsigned at = 0;           ///< before this event of the CPU
    std::uintptr_t begin = 0;  ///< the bytes that it was about to touch
    std::size_t bytes = 0;     ///< 0: it matters whatever others do
    unsigned others = 0;       ///< CPUs that could go on, one bit each
    bool gave_way = false;     ///< it waited or was done: another one went on anyway
};

/// A schedule, as it went.
struct Course {
    std::string broken{};         ///< empty: all was well
    unsigned by = 0;              ///< the CPU on which it was noticed; 0: at the end
    Schedule schedule{};          ///< as it was given, or as chance has made it
    std::vector<Point> points{};  ///< behind the schedule's last turn
    std::vector<Event> events{};  ///< if they were to be kept
};

/// Where a CPU is.
struct Cpu {
    /// Locked: it waits for a SpinLock. Waiting: for a condition.
    enum class State { Ready, Locked, Waiting, Done };
    State state = State::Ready;                        ///< now
    unsigned events = 0;                               ///< so far
    unsigned turn = 0;                                 ///< events since it went on
    Locks held = 0;                                    ///< by it
    const void* lock = nullptr;                        ///< if Locked
    const std::function<bool()>* condition = nullptr;  ///< if Waiting
    std::string waits{};                               ///< for what, in words
    bool interrupts = true;               ///< its interrupt flag while another one runs
    std::vector<std::uintptr_t> calls{};  ///< return addresses, outermost first
    ucontext_t context{};                 ///< its registers while another one runs
    std::byte* stack = nullptr;           ///< lowest byte
};

/// Runs CPUs by a schedule. One at a time: the hooks have no other way to find it.
class Machine {
   public:
    /// How chance chooses turns: before one event of so many; at places in conflict, or anywhere.
    struct Chance {
        std::uint64_t seed;  ///< the same gives the same
        unsigned one_of;     ///< so many events, on average
        bool anywhere;       ///< not only at places in conflict
    };

    /// What each CPU does, what is looked at in the end, and the memory that is put back.
    Machine(std::vector<std::function<void()>> work, std::function<void()> check,
            Memory::Ranges restored);
    ~Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    /// Runs one schedule, and puts everything back. `chance` adds turns. `keep_events`: for the story.
    Course run(const Schedule& schedule, const Chance* chance = nullptr, bool keep_events = false);
    /// Called after a schedule, before everything is put back.
    std::function<void(const Course&)> before_restore;
    /// What the schedules so far did.
    const Memory& memory() const { return memory_; }

    ///@{
    /// For the hooks, which call them on a simulated CPU only: what it is about to do.
    void access(std::uintptr_t at, std::size_t bytes, bool write, Event::Kind kind,
                std::uintptr_t pc);
    /// What the atomic access just announced has found and left.
    void found(std::uint64_t before, std::uint64_t after);
    void enter_function(std::uintptr_t pc) { cpu().calls.push_back(pc); }
    void leave_function() { cpu().calls.pop_back(); }
    void take(const void* lock, std::size_t bytes, std::uintptr_t pc);
    void give_back(const void* lock, std::uintptr_t pc);
    bool holds(const void* lock) const;
    void relax();
    void step(const std::string& what, std::uintptr_t pc);
    void wait(const std::string& what, const std::function<bool()>& condition, std::uintptr_t pc);
    [[noreturn]] void stop(const std::string& broken);
    ///@}
    /// Something is wrong at the end.
    void note_broken(const std::string& broken);

    /// Whether one of its CPUs runs, and not the caller of run().
    bool on_cpu() const { return current_ != 0; }
    /// The machine that runs now, or null.
    static Machine* running() { return at_work; }

   private:
    Cpu& cpu() { return cpus_[current_ - 1]; }
    static void start();
    void begin(Cpu& cpu);
    void point(std::uintptr_t at, std::size_t bytes);
    unsigned chosen_turn(unsigned others, bool matters);
    unsigned ready_others() const;
    bool is_ready(const Cpu& cpu) const;
    void go_on_with(unsigned next);
    void give_way(Cpu::State state);
    [[noreturn]] void leave();
    Event* record(Event::Kind kind, std::uintptr_t at, std::size_t bytes, std::uintptr_t pc);
    std::string who_waits() const;
    Locks bit_of(const void* lock);

    static Machine* at_work;
    std::vector<std::function<void()>> work_;
    std::function<void()> check_;
    Memory memory_;
    std::unique_ptr<Cpu[]> cpus_;
    ucontext_t main_{};

    unsigned current_ = 0;  // 0: no CPU runs
    std::size_t next_turn_ = 0;
    unsigned steps_ = 0;
    unsigned relaxes_ = 0;
    const Chance* chance_ = nullptr;
    std::uint64_t random_ = 0;
    bool keep_events_ = false;
    Course course_;
    std::vector<const void*> locks_;  // by bit, of all schedules
    std::vector<std::pair<const void*, unsigned>> taken_;
};

/// While it lives, what this thread does is not watched.
class Quiet {
   public:
    Quiet() : before_{now} { now = true; }
    ~Quiet() { now = before_; }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;

    /// Whether there is one.
    static bool now;

   private:
    bool before_;
};
/// Whether what this thread does is not watched.
inline bool is_quiet() {
    return Quiet::now;
}

}  // namespace kern::explore
