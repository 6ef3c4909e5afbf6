// SPDX-License-Identifier: MIT
#include "kern/proc/environments.hh"

#include <algorithm>
#include <bit>
#include <utility>

#include "kern/arch/user.hh"
#include "kern/lib/panic.hh"

namespace kern {

constinit Environments environments;

namespace {

constexpr std::uint32_t generation_limit = 1U << 22;  // identifiers stay positive in 32 bits

}  // namespace

std::expected<EnvId, Error> Environments::add(std::unique_ptr<Env> env) {
    if (free_count_ == 0 && used_slots_ == max_environments) return std::unexpected{Error::Busy};
    const std::size_t slot = free_count_ != 0 ? free_[--free_count_] : used_slots_++;
    // Another number each time: who still holds the old one finds nobody, instead of somebody else.
    std::uint32_t& generation = generations_[slot];
    generation = generation + 1 == generation_limit ? 1 : generation + 1;
    env->id = generation << slot_bits | static_cast<EnvId>(slot);
    slots_[slot] = std::move(env);
    ++living_;
    return slots_[slot]->id;
}

Env* Environments::find(EnvId id) const {
    Env* const env = slots_[id % max_environments].get();
    return env != nullptr && env->id == id ? env : nullptr;
}

Env* Environments::find(std::string_view name) const {
    for (std::size_t slot = 0; slot < used_slots_; ++slot) {
        Env* const env = slots_[slot].get();
        if (env != nullptr && env->state != Env::State::Ended && env->name.view() == name)
            return env;
    }
    return nullptr;
}

void Environments::make_runnable(Env& env) {
    env.state = Env::State::Runnable;
    env.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &env;
    last_ = &env;
    const std::uint64_t able = env.only_cpu ? idle_cpus & 1ULL << *env.only_cpu : idle_cpus;
    if (able == 0) return;
    const auto cpu = static_cast<unsigned>(std::countr_zero(able));
    idle_cpus &= ~(1ULL << cpu);  // woken; the next one wakes another
    arch::kick(cpu);
}

Env* Environments::take_runnable() {
    Env* before = nullptr;
    for (Env* env = first_; env != nullptr; before = env, env = env->next) {
        if (env->only_cpu && *env->only_cpu != arch::cpu_index()) continue;
        (before == nullptr ? first_ : before->next) = env->next;
        if (last_ == env) last_ = before;
        return env;
    }
    return nullptr;
}

void Environments::end(Env& env, const Ending& ending) {
    check(env.state != Env::State::Ended, "an environment ends twice");
    if (&env == current()) {
        // Its tables go away under this CPU's feet otherwise.
        arch::use_kernel_address_space();
        current() = nullptr;
    }
    if (env.state == Env::State::Running) --running;
    env.state = Env::State::Ended;
    env.ending = ending;
    --living_;
    const EnvId id = env.id;
    ended_[ended_count_++ % ended_.size()] = {id, ending};
    if (env.on_end != nullptr) env.on_end(env.context, env);
    if (!env.keep) destroy(env);
    tell_waiting(id, ending);
}

/// Those that wait for the end of `id` go on, and its children that were never started end with it.
void Environments::tell_waiting(EnvId id, const Ending& ending) {
    if (ending_all_) return;
    for (std::size_t slot = 0; slot < used_slots_; ++slot) {
        Env* const env = slots_[slot].get();
        if (env == nullptr) continue;
        if (env->state == Env::State::Waiting && env->waits_for == id) {
            answer_wait(*env, ending);
            make_runnable(*env);
        } else if (env->state == Env::State::Unstarted && env->parent == id) {
            end(*env, {.kind = Ending::Kind::Stuck});
        }
    }
}

void Environments::end_waiting(Ending::Kind kind) {
    first_ = nullptr;
    ending_all_ = true;
    for (std::size_t slot = 0; slot < used_slots_; ++slot) {
        Env* const env = slots_[slot].get();
        if (env != nullptr && env->state != Env::State::Running && env->state != Env::State::Ended)
            end(*env, {.kind = kind, .rip = env->frame.rip});
    }
    ending_all_ = false;
}

void Environments::end_stuck() {
    bool ended = false;
    for (std::size_t slot = 0; slot < used_slots_; ++slot) {
        Env* const env = slots_[slot].get();
        if (env == nullptr ||
            (env->state != Env::State::Receiving && env->state != Env::State::Unstarted))
            continue;
        end(*env, {.kind = Ending::Kind::Stuck, .rip = env->frame.rip});
        ended = true;
    }
    if (!ended) end_waiting(Ending::Kind::Stuck);
}

std::optional<Ending> Environments::ending_of(EnvId id) const {
    const auto* const found = std::ranges::find(ended_, id, &Ended::id);
    if (id == 0 || found == ended_.end()) return std::nullopt;
    return found->ending;
}

namespace {

syscall::Outcome outcome_of(Ending::Kind kind) {
    switch (kind) {
        case Ending::Kind::NotYet: break;
        case Ending::Kind::Exited: return syscall::Outcome::exited;
        case Ending::Kind::Faulted: return syscall::Outcome::faulted;
        case Ending::Kind::LimitReached: return syscall::Outcome::limit_reached;
        case Ending::Kind::Stuck: return syscall::Outcome::stuck;
        case Ending::Kind::Aborted: return syscall::Outcome::aborted;
    }
    panic("a program that lives has no outcome");
}

}  // namespace

void answer_wait(Env& env, const Ending& ending) {
    env.frame.rax = std::to_underlying(outcome_of(ending.kind));
    env.frame.rdx = static_cast<std::uint64_t>(ending.status);
}

void Environments::destroy(Env& env) {
    const std::size_t slot = env.id % max_environments;
    slots_[slot].reset();
    free_[free_count_++] = static_cast<std::uint16_t>(slot);
}

void set_program_files(const FileSystem* files) {
    const LockGuard guard{environments.lock};
    environments.files = files;
}

unsigned program_cpus() {
    return environments.cpus;  // changes only while no environment runs
}

const Env* find_kept(EnvId id) {
    const LockGuard guard{environments.lock};
    const Env* const env = environments.find(id);
    return env != nullptr && env->state == Env::State::Ended ? env : nullptr;
}

bool destroy_kept(EnvId id) {
    const LockGuard guard{environments.lock};
    Env* const env = environments.find(id);
    if (env == nullptr || env->state != Env::State::Ended) return false;
    environments.destroy(*env);
    return true;
}

}  // namespace kern
