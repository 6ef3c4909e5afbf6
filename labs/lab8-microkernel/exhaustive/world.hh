// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kern/cap/cap_derive.hh"
#include "kern/cap/cap_revoke.hh"
#include "kern/cap/ipc_send.hh"
#include "kern/cap/signal.hh"
#include "kern/cap/threads.hh"
#include "kern/cap/untyped_retype.hh"
#include "model.hh"

namespace lab::exhaustive {

/// One step: what somebody does.
struct Operation {
    /// Which.
    enum class Kind : std::uint8_t {
        Call,       ///< the current thread makes a system call
        Fault,      ///< the current thread faults
        Interrupt,  ///< an interrupt arrives
        Suspend,
        Resume,
        Derive,
        Revoke,
        Delete,
        Retype,
    };
    Kind kind = Kind::Interrupt;
    SystemCall call = SystemCall::Yield;
    Text text = Text::Short;
    Id slot = none;         ///< that it is about; of a call, none: address 0
    Id destination = none;  ///< of a derivation and a retype
    Id thread = none;       ///< that is suspended or resumed
    Rights rights = 0;      ///< of a derivation
    std::uint8_t badge = 0;
    Type type = Type::Null;  ///< of a retype
    std::uint8_t bits = 0, count = 0;
    bool is_preempted = false;  ///< a revocation stops as soon as it may
};

/// Where a search begins. All threads have the table as their CNode. Each object's first capability
/// stands in the table: the endpoints in slots 1 and 2, the notification in slot 3, the threads, all
/// of them Ready, in those behind.
struct Scene {
    std::array<std::uint8_t, threads> priority{};
    unsigned buffers = threads;  ///< so many threads have one
    bool is_bound = false;       ///< the notification to the first thread
    bool has_handlers = false;   ///< the second endpoint hears of faults
    bool has_memory = false;     ///< a small Untyped in the table
    bool has_frames = false;     ///< a frame and a copy in the table, each of them mapped
    bool counts_firing = false;  ///< whether the fast path fires is looked at
    bool has_threads = false;    ///< capabilities to the threads; else those are out of the table
    /// More capabilities: derived from that in `from`, a number of a slot as programs see it.
    struct Copy {
        Id from;
        Rights rights;
        std::uint8_t badge;
    };
    std::vector<Copy> copies{};
};

/// The kernel's state, all of it in one arena, beside the model's. The functions under test work on
/// the one, and the model on the other.
class World {
   public:
    World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;
    ~World();

    /// All bytes of the arena that functions under test may change.
    struct Image {
        State state;
        std::vector<std::byte> bytes;
    };

    /// Puts both where the scene says.
    void begin(const Scene& scene);
    void save(Image& image) const;
    void put_back(const Image& image);
    /// The model's state.
    const State& state() const { return state_; }
    /// Does one step on both sides. Returns whether they agree; differences() says what does not.
    bool run(const Operation& operation);
    /// In words, a line each.
    const std::string& differences() const { return differences_; }
    /// The step in words, before it is done.
    std::string words(const Operation& operation) const;

   private:
    struct Memory;
    class Looks;
    std::unique_ptr<Memory> memory_;
    std::unique_ptr<Looks> looks_;
    State state_{};
    std::string differences_;
    bool counts_firing_ = false;
    std::array<kern::cap::Message, threads> before_{};
    /// By the height of what was revoked: how much stack was in use, at most.
    std::array<std::uintptr_t, 5> stack_{};

    kern::cap::Slot& slot(Id id) const;
    kern::cap::Tcb& tcb(Id id) const;
    std::uint64_t address(const Cap& cap) const;
    kern::cap::Capability real(const Cap& cap, bool is_guarded) const;
    void put(Id parent, Id id, const Cap& cap);
    void prepare(const Operation& operation);
    void fault(Model& model);
    void revoke(const Operation& operation, Model& model);
    void retype(const Operation& operation, Model& model);
    bool agrees(const Model& model);
    bool slots_agree();
    bool threads_agree(const Model& model);
    bool queues_agree();
    bool queue_agrees(const kern::cap::Queue& queue, const Threads& wanted,
                      const std::string& name);
    bool differ(const std::string& what, const std::string& model, const std::string& yours);
    bool result_agrees(Status wanted, Status result);
};

///@{
/// Names, for stories.
std::string name_of_thread(Id thread);
std::string name_of_slot(Id slot);
std::string name_of(const Cap& cap);
///@}

}  // namespace lab::exhaustive
