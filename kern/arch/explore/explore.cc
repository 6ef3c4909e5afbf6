// SPDX-License-Identifier: MIT
#include "kern/arch/explore/explore.hh"

#include <signal.h>

#include <cstdlib>
#include <set>

#include "kern/arch/explore/machine.hh"
#include "kern/arch/explore/story.hh"
#include "kern/arch/host/machine.hh"

// Where the program's variables begin and end; the linker knows.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" std::byte __data_start, _end;

namespace kern::explore {
namespace {

/// More schedules than this are not tried in order; nothing so far needs a tenth.
constexpr std::size_t most_schedules = 100'000;
/// Schedules by chance: before all others, to see which addresses are in conflict, and after.
constexpr unsigned first_looks = 64;
constexpr unsigned sample = 500;

/// A fault on a simulated CPU is something broken, as others are.
void on_fault(int, siginfo_t* info, void*) {
    Machine* const machine = Machine::running();
    if (!machine || !machine->on_cpu()) {
        signal(SIGSEGV, SIG_DFL);  // it comes again, and ends the process
        return;
    }
    machine->stop("it touches memory that is not there, at " +
                  in_hex(reinterpret_cast<std::uintptr_t>(info->si_addr)));
}

/// While it lives, on_fault serves faults, on a stack of its own.
class Faults {
   public:
    Faults() : stack_(64 << 10) {
        const stack_t stack{.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()};
        sigaltstack(&stack, &stack_before_);
        struct sigaction action{};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        sigaction(SIGSEGV, &action, &before_);
    }
    ~Faults() {
        sigaction(SIGSEGV, &before_, nullptr);
        sigaltstack(&stack_before_, nullptr);
    }
    Faults(const Faults&) = delete;
    Faults& operator=(const Faults&) = delete;

   private:
    std::vector<std::byte> stack_;
    stack_t stack_before_{};
    struct sigaction before_{};
};

/// What a schedule changes and run() puts back.
Memory::Ranges restored_ranges(const std::vector<std::pair<const void*, std::size_t>>& kept) {
    const auto address = [](const void* at) { return reinterpret_cast<std::uintptr_t>(at); };
    const auto& arena = arch::fake::machine().arena;
    constexpr std::size_t stack_limit = 64 << 20;
    const std::uintptr_t here = address(__builtin_frame_address(0));
    Memory::Ranges ranges{{address(arena.begin()), address(arena.begin() + arena.size())},
                          {address(&__data_start), address(&_end)},
                          {here, here + stack_limit}};
    for (const auto& [at, bytes] : kept) ranges.emplace_back(address(at), address(at) + bytes);
    return ranges;
}

}  // namespace

/// Goes through the schedules of one exploration.
class Explorer {
   public:
    explicit Explorer(const Exploration& what)
        : what_{what}, machine_{what.work_, what.check_, restored_ranges(what.kept_)} {}

    Exploration::Result run(unsigned preemptions) {
        if (const char* number = std::getenv("NEST_SCHEDULE")) {
            const auto schedule = Schedule::from_number(number);
            if (!schedule || schedule->first < 1 || schedule->first > what_.work_.size())
                return {.holds = false, .story = "NEST_SCHEDULE is no schedule of this test"};
            return told(*schedule);
        }
        for (unsigned seed = 1; seed <= first_looks; ++seed) {
            const Machine::Chance chance{.seed = seed, .one_of = 32, .anywhere = true};
            chance_found(chance);
        }
        if (try_all(preemptions)) return told(*broken_);
        for (unsigned seed = 1; seed <= sample && !by_chance_; ++seed) {
            const Machine::Chance chance{.seed = seed, .one_of = 6, .anywhere = false};
            chance_found(chance);
        }
        if (by_chance_) return told(without_needless_turns(*by_chance_));
        return {.schedules = tried_};
    }

   private:
    /// Runs the CPUs by chance; keeps the first schedule in which something broke.
    void chance_found(const Machine::Chance& chance) {
        const Schedule begin{.first = static_cast<unsigned>(chance.seed % what_.work_.size()) + 1};
        const Course course = machine_.run(begin, &chance);
        ++tried_;
        if (!course.broken.empty() && !by_chance_) by_chance_ = course.schedule;
    }

    /// A schedule that was run, and the places behind its last turn from which no other was made.
    struct Tried {
        Schedule schedule;
        unsigned preemptions;
        std::vector<Point> rest;
    };

    /// The schedule without the turns that it is broken without, too.
    Schedule without_needless_turns(Schedule schedule) {
        for (std::size_t i = schedule.turns.size(); i-- > 0;) {
            Schedule shorter = schedule;
            shorter.turns.erase(shorter.turns.begin() + static_cast<std::ptrdiff_t>(i));
            if (!machine_.run(shorter).broken.empty()) schedule = shorter;
        }
        return schedule;
    }

    /// All schedules with so many preemptions at most, those with few first. Whether one broke.
    bool try_all(unsigned preemptions) {
        std::vector<std::vector<Schedule>> levels(preemptions + 1);
        for (unsigned cpu = 1; cpu <= what_.work_.size(); ++cpu)
            levels[0].push_back({.first = cpu});
        std::vector<Tried> all;
        for (bool more = true; more;) {
            for (unsigned count = 0; count <= preemptions; ++count) {
                auto& level = levels[count];
                for (std::size_t i = 0; i < level.size() && tried_ < most_schedules; ++i) {
                    Course course = machine_.run(level[i]);
                    ++tried_;
                    if (!course.broken.empty()) {
                        broken_ = level[i];
                        return true;
                    }
                    Tried one{level[i], count, std::move(course.points)};
                    branch(one, levels);
                    if (count < preemptions) all.push_back(std::move(one));
                }
                level.clear();
            }
            // What was tried has shown more addresses in conflict, at which there is more to try.
            more = false;
            for (Tried& one : all) more = branch(one, levels) || more;
        }
        return false;
    }

    /// Makes the schedules that go another way at one place. Whether there are any.
    bool branch(Tried& from, std::vector<std::vector<Schedule>>& levels) {
        bool any = false;
        std::erase_if(from.rest, [&](const Point& point) {
            const unsigned count = from.preemptions + (point.gave_way ? 0 : 1);
            if (count >= levels.size() || !matters(point)) return false;
            add_turns(levels[count], from.schedule, point);
            return any = true;
        });
        return any;
    }
    bool matters(const Point& point) const {
        return point.bytes == 0 || machine_.memory().in_conflict(point.begin, point.bytes);
    }
    void add_turns(std::vector<Schedule>& to, const Schedule& schedule, const Point& point) const {
        for (unsigned cpu = 1; cpu <= what_.work_.size(); ++cpu) {
            if ((point.others >> cpu & 1) == 0) continue;
            to.push_back(schedule);
            to.back().turns.push_back(
                {.cpu = point.cpu, .at = point.at, .to = cpu, .gives_way = point.gave_way});
        }
    }

    /// Runs a schedule once more, and tells its story.
    Exploration::Result told(const Schedule& schedule) {
        Exploration::Result result{.holds = false, .schedules = tried_};
        machine_.before_restore = [&](const Course& course) {
            result.holds = course.broken.empty();
            result.story = story(course, machine_.memory(),
                                 {.cpus = what_.work_.size(),
                                  .task_file = what_.task_file_,
                                  .describe = what_.describe_,
                                  .tried = tried_});
        };
        machine_.run(schedule, nullptr, true);
        return result;
    }

    const Exploration& what_;
    Machine machine_;
    std::size_t tried_ = 0;
    std::optional<Schedule> broken_, by_chance_;
};

Exploration::Result Exploration::run(unsigned preemptions) {
    const Faults faults;
    return Explorer{*this}.run(preemptions);
}

}  // namespace kern::explore
