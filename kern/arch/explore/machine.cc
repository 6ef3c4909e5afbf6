// SPDX-License-Identifier: MIT
#include "kern/arch/explore/machine.hh"

#include <sys/mman.h>

#include <cstdlib>

#include "kern/arch/host/fake.hh"

namespace kern::explore {
namespace {

constexpr std::size_t stack_bytes = 256 << 10;
/// A CPU that does so much without giving way may wait for another one without saying so.
constexpr unsigned long_turn = 20'000;
/// No schedule of a right answer is so long.
constexpr unsigned most_steps = 2'000'000;
constexpr unsigned most_relaxes = 3'000;

std::uint64_t next_random(std::uint64_t& state) {  // xorshift64
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

}  // namespace

Machine* Machine::at_work = nullptr;
bool Quiet::now = true;

Machine::Machine(std::vector<std::function<void()>> work, std::function<void()> check,
                 Memory::Ranges restored)
    : work_{std::move(work)},
      check_{std::move(check)},
      memory_{std::move(restored)},
      cpus_{new Cpu[work_.size()]} {
    for (std::size_t i = 0; i < work_.size(); ++i) {
        // The lowest page stays out: a stack that overflows faults.
        void* const stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED || mprotect(stack, 4096, PROT_NONE) != 0) std::abort();
        cpus_[i].stack = static_cast<std::byte*>(stack);
    }
}

Machine::~Machine() {
    for (std::size_t i = 0; i < work_.size(); ++i) munmap(cpus_[i].stack, stack_bytes);
}

Course Machine::run(const Schedule& schedule, const Chance* chance, bool keep_events) {
    course_ = Course{.schedule = schedule};
    chance_ = chance;
    random_ = chance ? chance->seed * 0x9e37'79b9'7f4a'7c15 | 1 : 0;
    keep_events_ = keep_events;
    next_turn_ = 0;
    steps_ = relaxes_ = 0;
    taken_.clear();
    memory_.begin();
    for (std::size_t i = 0; i < work_.size(); ++i) begin(cpus_[i]);

    at_work = this;
    current_ = schedule.first;
    cpu().turn = 0;
    arch::fake::enter_cpu(current_);
    swapcontext(&main_, &cpu().context);
    current_ = 0;
    arch::fake::enter_cpu(0);

    if (course_.broken.empty() && check_) check_();
    if (before_restore) before_restore(course_);
    at_work = nullptr;
    memory_.restore();
    return std::move(course_);
}

void Machine::begin(Cpu& cpu) {
    cpu.state = Cpu::State::Ready;
    cpu.events = cpu.turn = 0;
    cpu.held = 0;
    cpu.interrupts = true;
    cpu.calls.clear();
    getcontext(&cpu.context);
    cpu.context.uc_stack.ss_sp = cpu.stack;
    cpu.context.uc_stack.ss_size = stack_bytes;
    cpu.context.uc_link = nullptr;
    makecontext(&cpu.context, start, 0);
}

void Machine::start() {
    Machine& machine = *at_work;
    Quiet::now = false;
    machine.work_[machine.current_ - 1]();
    Quiet::now = true;
    machine.cpu().state = Cpu::State::Done;
    if (machine.ready_others() == 0) {
        bool all_done = true;
        for (std::size_t i = 0; i < machine.work_.size(); ++i)
            all_done = all_done && machine.cpus_[i].state == Cpu::State::Done;
        if (!all_done) machine.stop("no CPU can go on: " + machine.who_waits());
        machine.leave();
    }
    machine.give_way(Cpu::State::Done);
    std::abort();  // nobody goes on with a CPU that is done
}

void Machine::leave() {
    setcontext(&main_);
    std::abort();
}

void Machine::stop(const std::string& broken) {
    Quiet::now = true;
    course_.broken = broken;
    course_.by = current_;
    leave();
}

void Machine::note_broken(const std::string& broken) {
    if (course_.broken.empty()) course_.broken = broken;
}

bool Machine::is_ready(const Cpu& cpu) const {
    switch (cpu.state) {
        case Cpu::State::Ready: return true;
        case Cpu::State::Waiting: return (*cpu.condition)();
        case Cpu::State::Locked:
            for (const auto& [lock, holder] : taken_)
                if (lock == cpu.lock) return false;
            return true;
        case Cpu::State::Done: break;
    }
    return false;
}

unsigned Machine::ready_others() const {
    unsigned others = 0;
    for (unsigned i = 1; i <= work_.size(); ++i)
        if (i != current_ && is_ready(cpus_[i - 1])) others |= 1U << i;
    return others;
}

/// The CPU that the schedule, or chance, has go on before the current event; 0: the same.
unsigned Machine::chosen_turn(unsigned others, bool matters) {
    const Cpu& self = cpu();
    const auto& turns = course_.schedule.turns;
    if (next_turn_ < turns.size()) {
        const Turn& turn = turns[next_turn_];
        if (turn.gives_way || turn.cpu != current_ || turn.at != self.events) return 0;
        ++next_turn_;
        course_.points.clear();
        return (others >> turn.to & 1) != 0 ? turn.to : 0;
    }
    if (!chance_ || others == 0 || !(matters || chance_->anywhere)) return 0;
    if (next_random(random_) % chance_->one_of != 0) return 0;
    unsigned to = 0;
    do to = static_cast<unsigned>(next_random(random_) % work_.size()) + 1;
    while ((others >> to & 1) == 0);
    course_.schedule.turns.push_back({.cpu = current_, .at = self.events, .to = to});
    ++next_turn_;
    return to;
}

/// The CPU comes to its next event; 0 bytes: one that matters whatever others touch.
void Machine::point(std::uintptr_t at, std::size_t bytes) {
    Cpu& self = cpu();
    ++self.events;
    if (++steps_ > most_steps)
        stop("this goes on and on: " + std::to_string(most_steps) + " steps");
    const bool fresh =
        ++self.turn == 1;  // another CPU has just given way: no need to give way back
    const bool matters = bytes == 0 || memory_.in_conflict(at, bytes);
    const unsigned others = ready_others();
    const unsigned next = chosen_turn(others, matters);
    if (next != 0) {
        go_on_with(next);
    } else if (!fresh && others != 0) {
        // One access behind the other, as of a loop over bytes, is one place.
        const bool goes_on = !course_.points.empty() && bytes != 0 && bytes <= 16 &&
                             course_.points.back().cpu == current_ &&
                             course_.points.back().begin + course_.points.back().bytes == at;
        if (goes_on)
            course_.points.back().bytes += bytes;
        else
            course_.points.push_back({.cpu = current_,
                                      .at = self.events,
                                      .begin = at,
                                      .bytes = bytes,
                                      .others = others});
    }
    if (self.turn > long_turn && others != 0) give_way(Cpu::State::Ready);
}

void Machine::go_on_with(unsigned next) {
    const unsigned self = current_;
    cpu().interrupts = arch::fake::interrupts_enabled();
    current_ = next;
    cpu().state = Cpu::State::Ready;
    cpu().turn = 0;
    arch::fake::enter_cpu(next);
    if (!cpu().interrupts) arch::disable_interrupts();
    swapcontext(&cpus_[self - 1].context, &cpus_[next - 1].context);
    // Back again: whoever came here has set current_.
    Quiet::now = true;
    cpu().turn = 1;  // the event before which it stopped
}

/// The next CPU in the circle goes on, or the one that the schedule says. The same, if there is none
/// and it is ready.
void Machine::give_way(Cpu::State state) {
    Cpu& self = cpu();
    self.state = state;
    const unsigned others = ready_others();
    if (others == 0) {
        if (is_ready(self)) {
            self.state = Cpu::State::Ready;
            return;
        }
        stop("no CPU can go on: " + who_waits());
    }
    unsigned next = current_;
    do next = next % static_cast<unsigned>(work_.size()) + 1;
    while ((others >> next & 1) == 0);
    const auto& turns = course_.schedule.turns;
    if (next_turn_ < turns.size() && turns[next_turn_].gives_way &&
        turns[next_turn_].cpu == current_ && turns[next_turn_].at == self.events + 1) {
        if ((others >> turns[next_turn_].to & 1) != 0) next = turns[next_turn_].to;
        ++next_turn_;
        course_.points.clear();
    } else if (state != Cpu::State::Ready) {
        const unsigned rest = others & ~(1U << next);
        if (rest != 0)
            course_.points.push_back(
                {.cpu = current_, .at = self.events + 1, .others = rest, .gave_way = true});
    }
    go_on_with(next);
}

std::string Machine::who_waits() const {
    std::string text;
    for (unsigned i = 1; i <= work_.size(); ++i) {
        const Cpu& one = cpus_[i - 1];
        if (one.state == Cpu::State::Done || one.state == Cpu::State::Ready) continue;
        if (!text.empty()) text += ", and ";
        text += "CPU " + std::to_string(i) + " waits for ";
        if (one.state == Cpu::State::Waiting) text += one.waits;
        if (one.state != Cpu::State::Locked) continue;
        text += "a lock that ";
        for (const auto& [lock, holder] : taken_)
            if (lock == one.lock) text += "CPU " + std::to_string(holder) + " holds";
    }
    return text;
}

Event* Machine::record(Event::Kind kind, std::uintptr_t at, std::size_t bytes, std::uintptr_t pc) {
    if (!keep_events_) return nullptr;
    Event event{.cpu = current_, .kind = kind, .at = at, .bytes = bytes};
    event.calls.push_back(pc);
    const auto& calls = cpu().calls;
    event.calls.insert(event.calls.end(), calls.rbegin(), calls.rend());
    course_.events.push_back(std::move(event));
    return &course_.events.back();
}

void Machine::access(std::uintptr_t at, std::size_t bytes, bool write, Event::Kind kind,
                     std::uintptr_t pc) {
    const auto stack = reinterpret_cast<std::uintptr_t>(cpu().stack);
    if (at - stack < stack_bytes) return;  // its own
    const Quiet watch_nothing;
    point(at, bytes);
    memory_.note(at, bytes, write, current_, cpu().held);
    record(kind, at, bytes, pc);
}

void Machine::found(std::uint64_t before, std::uint64_t after) {
    if (!keep_events_ || course_.events.empty()) return;
    course_.events.back().before = before;
    course_.events.back().after = after;
}

Locks Machine::bit_of(const void* lock) {
    std::size_t bit = 0;
    while (bit < locks_.size() && locks_[bit] != lock) ++bit;
    if (bit == locks_.size()) locks_.push_back(lock);
    return Locks{1} << (bit < 63 ? bit : 63);
}

bool Machine::holds(const void* lock) const {
    for (const auto& [taken, holder] : taken_)
        if (taken == lock && holder == current_) return true;
    return false;
}

void Machine::take(const void* lock, std::size_t bytes, std::uintptr_t pc) {
    const auto at = reinterpret_cast<std::uintptr_t>(lock);
    point(at, bytes);
    memory_.note(at, bytes, true, current_, cpu().held);
    cpu().lock = lock;
    cpu().state = Cpu::State::Locked;
    if (!is_ready(cpu())) record(Event::Kind::Wait, at, bytes, pc);
    while (!is_ready(cpu())) give_way(Cpu::State::Locked);
    cpu().state = Cpu::State::Ready;
    taken_.emplace_back(lock, current_);
    cpu().held |= bit_of(lock);
    record(Event::Kind::Lock, at, bytes, pc);
}

void Machine::give_back(const void* lock, std::uintptr_t pc) {
    for (auto& one : taken_)
        if (one.first == lock) {
            one = taken_.back();
            taken_.pop_back();
            break;
        }
    cpu().held = 0;
    for (const auto& [taken, holder] : taken_)
        if (holder == current_) cpu().held |= bit_of(taken);
    record(Event::Kind::Unlock, reinterpret_cast<std::uintptr_t>(lock), 1, pc);
}

void Machine::relax() {
    ++cpu().events;
    if (++relaxes_ > most_relaxes)
        stop("CPU " + std::to_string(current_) +
             " waits (kern::arch::relax) for something that no CPU does any more");
    give_way(Cpu::State::Ready);
}

void Machine::step(const std::string& what, std::uintptr_t pc) {
    point(0, 0);
    if (Event* event = record(Event::Kind::Step, 0, 0, pc)) event->text = what;
}

void Machine::wait(const std::string& what, const std::function<bool()>& condition,
                   std::uintptr_t pc) {
    point(0, 0);
    cpu().condition = &condition;
    cpu().waits = what;
    while (!condition()) {
        if (Event* event = record(Event::Kind::Step, 0, 0, pc)) event->text = "waits for " + what;
        give_way(Cpu::State::Waiting);
    }
}

}  // namespace kern::explore
