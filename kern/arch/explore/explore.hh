// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

/// Runs code for several CPUs in every order that matters. The CPUs are simulated: one runs at a
/// time, on the calling thread, and each access to memory, each lock and each step is a place where
/// another one may go on. So a race is found always, or never, and each time in the same schedule.
///
/// What it shows is sequential consistency: the steps of the CPUs one after the other, in any
/// order. A real CPU, and a compiler, may also reorder accesses that no acquire and release orders;
/// that is not shown here.
///
/// Code is watched if it was compiled with -fsanitize=thread. The program is linked with this room
/// in the place of the sanitizer's library (kit flavour `explore`).
namespace kern::explore {

/// One situation: what each CPU does, and what must hold then.
///
/// The situation is made once. What a schedule changes in the fake machine's memory, in variables of
/// the program, in variables of the function that calls run() and in what keep() was told is put
/// back before the next one.
class Exploration {
   public:
    /// `task_file`: the name of the file under test, `load_page.cc`; the story names lines of it.
    explicit Exploration(std::string task_file) : task_file_{std::move(task_file)} {}

    /// What the next CPU does. The first is CPU 1; CPU 0 is the caller. At most 7.
    void cpu(std::function<void()> work) { work_.push_back(std::move(work)); }
    /// Looks at the end of each schedule whether all is well, and calls broken() if not. It may
    /// change nothing.
    void at_end(std::function<void()> check) { check_ = std::move(check); }
    /// Names what lies at an address, for the story; empty: nothing to say.
    void describe(std::function<std::string(const void*)> name) { describe_ = std::move(name); }
    /// An object on the heap that schedules change.
    template <class T>
    void keep(T& object) {
        kept_.emplace_back(&object, sizeof object);
    }

    /// What came of it.
    struct Result {
        bool holds = true;  ///< nothing was broken

        std::string story{};        ///< of the first schedule in which something was broken
        std::size_t schedules = 0;  ///< how many were tried
    };
    /// Tries all schedules with at most `preemptions` preemptions at places where what two CPUs do
    /// depends on the order, and then a sample with more. A CPU that waits, or that is done, gives
    /// its turn away, which is no preemption. With the variable NEST_SCHEDULE in the environment it
    /// runs the schedule of that number alone, and prints its story.
    Result run(unsigned preemptions);

   private:
    friend class Explorer;
    std::string task_file_;
    std::vector<std::function<void()>> work_;
    std::function<void()> check_;
    std::function<std::string(const void*)> describe_;
    std::vector<std::pair<const void*, std::size_t>> kept_;
};

/// On a simulated CPU: it comes to a step that the story tells, `what`, and others may go on before.
/// Elsewhere nothing.
void step(const std::string& what);
/// On a simulated CPU: goes on once `condition` holds. Nobody may make it hold: that is a deadlock.
void wait_until(const std::string& what, const std::function<bool()>& condition);
/// Something is wrong. On a simulated CPU this ends the schedule and does not come back. In at_end
/// the first call counts.
void broken(const std::string& what);

}  // namespace kern::explore
