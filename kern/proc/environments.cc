// SPDX-License-Identifier: MIT
#include "kern/proc/environments.hh"

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
    if (idle_cpus == 0) return;
    const auto cpu = static_cast<unsigned>(std::countr_zero(idle_cpus));
    idle_cpus &= ~(1ULL << cpu);  // woken; the next one wakes another
    arch::kick(cpu);
}

Env* Environments::take_runnable() {
    Env* const env = first_;
    if (env != nullptr) first_ = env->next;
    return env;
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
    if (env.on_end != nullptr) env.on_end(env.context, env);
    if (!env.keep) destroy(env);
}

void Environments::end_waiting(Ending::Kind kind) {
    first_ = nullptr;
    for (std::size_t slot = 0; slot < used_slots_; ++slot) {
        Env* const env = slots_[slot].get();
        if (env != nullptr &&
            (env->state == Env::State::Runnable || env->state == Env::State::Receiving))
            end(*env, {.kind = kind, .rip = env->frame.rip});
    }
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

std::size_t living_environments() {
    const LockGuard guard{environments.lock};
    return environments.living();
}

}  // namespace kern
