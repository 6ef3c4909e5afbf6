// SPDX-License-Identifier: MIT
#include "search.hh"

#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <set>
#include <unordered_set>
#include <utility>

#include "key.hh"

namespace lab::exhaustive {
namespace {

using Kind = Operation::Kind;

struct KeyHash {
    std::size_t operator()(const Key& key) const { return key.low; }
};

/// All steps that may come next.
class Steps {
   public:
    Steps(const Scope& scope, const State& state) : scope_{scope}, state_{state} {
        if (state.running != none) add_calls();
        if (scope.interrupts) add({.kind = Kind::Interrupt});
        for (Id thread = 0; thread < threads && scope.suspends; ++thread) {
            if (!is_alive(Type::Tcb, thread)) continue;
            const bool rests = state.thread[thread].state == ThreadState::Inactive;
            add({.kind = rests ? Kind::Resume : Kind::Suspend, .thread = thread});
        }
        add_derivations();
        for (Id slot = first_table_slot; slot < first_thread_slot; ++slot)
            for (const bool is_preempted : {false, true}) {
                const bool is_full = state.cap[slot].type != Type::Null;
                if (scope.deletes && is_full)
                    add({.kind = Kind::Delete, .slot = slot, .is_preempted = is_preempted});
                if (scope.revokes && is_full)
                    add({.kind = Kind::Revoke, .slot = slot, .is_preempted = is_preempted});
            }
        if ((scope.deletes || scope.revokes) && !state.dead.is_empty() && first_empty(1) != none)
            for (const bool is_preempted : {false, true})
                add({.kind = Kind::Delete, .slot = first_empty(1), .is_preempted = is_preempted});
        if (!scope.objects.empty() && state.dead.is_empty()) add_retypes();
    }
    const std::vector<Operation>& all() const { return all_; }

   private:
    const Scope& scope_;
    const State& state_;
    std::vector<Operation> all_;

    void add(const Operation& operation) { all_.push_back(operation); }
    bool is_alive(Type type, Id object) const {
        return std::ranges::any_of(
            state_.cap, [&](const Cap& cap) { return cap.type == type && cap.object == object; });
    }
    bool has_gifts() const {
        return std::ranges::find(scope_.texts, Text::WithGift) != scope_.texts.end();
    }
    /// The first of so many empty slots in a row; those that messages name are left out.
    Id first_empty(unsigned count) const {
        const Id begin = has_gifts() ? gift_slot + 1 : first_table_slot;
        const Id end = has_gifts() ? receive_slot(0) : first_thread_slot;
        unsigned row = 0;
        for (Id slot = begin; slot < end; ++slot) {
            row = state_.cap[slot].type == Type::Null ? row + 1 : 0;
            if (row == count) return static_cast<Id>(slot + 1 - count);
        }
        return none;
    }
    void add_calls() {
        std::set<std::array<std::uint8_t, 4>> seen;
        std::vector<Id> named{none};
        for (Id slot = first_table_slot; slot < first_thread_slot; ++slot) {
            const Cap& cap = state_.cap[slot];
            const bool is_useful = cap.type == Type::Endpoint || cap.type == Type::Notification;
            if (is_useful && cap.object < endpoints &&
                seen.insert(
                        {static_cast<std::uint8_t>(cap.type), cap.object, cap.rights, cap.value})
                    .second)
                named.push_back(slot);
        }
        for (const SystemCall call : scope_.calls) {
            const bool has_address = call != SystemCall::Reply && call != SystemCall::Yield;
            const bool has_text =
                call != SystemCall::Recv && call != SystemCall::NBRecv && call != SystemCall::Yield;
            for (const Id slot : has_address ? named : std::vector<Id>{none})
                for (const Text text : has_text ? scope_.texts : std::vector<Text>{Text::Short})
                    if (text != Text::GoOn || !has_address || call == SystemCall::ReplyRecv)
                        add({.kind = Kind::Call, .call = call, .text = text, .slot = slot});
        }
        if (scope_.faults) add({.kind = Kind::Fault});
    }
    /// The slot of a CNode that was made, if there is an empty one.
    Id first_inner() const {
        for (Id unit = 0; unit + 1U < units; ++unit) {
            const Id inner = static_cast<Id>(first_unit_slot + unit + 1);
            if (state_.cap[inner].type == Type::Null &&
                is_alive(Type::CNode, static_cast<Id>(first_unit + unit)))
                return inner;
        }
        return none;
    }
    void add_derivations() {
        // The last one is full, mostly; and the first one is empty, and is derived from as well.
        for (const Id destination : {first_empty(1), first_inner(), first_table_slot}) {
            if (destination == none) continue;
            for (Id slot = first_table_slot; slot < first_thread_slot; ++slot) {
                const Type type = state_.cap[slot].type;
                if (type == Type::Null && slot != first_empty(1)) continue;
                for (const Rights rights : scope_.copies)
                    add({.kind = Kind::Derive,
                         .slot = slot,
                         .destination = destination,
                         .rights = rights});
                for (const std::uint8_t badge : scope_.badges)
                    if (type != Type::CNode)  // there it would be a guard
                        add({.kind = Kind::Derive,
                             .slot = slot,
                             .destination = destination,
                             .rights = 7,
                             .badge = badge});
            }
        }
    }
    void add_retypes() {
        for (Id slot = first_table_slot; slot < first_thread_slot; ++slot) {
            if (state_.cap[slot].type != Type::Untyped) continue;
            for (const Scope::Object& object : scope_.objects)
                for (const std::uint8_t count : {1, 2})
                    if (const Id to = first_empty(count); to != none)
                        add({.kind = Kind::Retype,
                             .slot = slot,
                             .destination = to,
                             .type = object.type,
                             .bits = object.bits,
                             .count = count});
        }
    }
};

/// A sequence: the step, and what came before it.
struct Step {
    std::uint32_t before;
    Operation operation;
};

class Search {
   public:
    explicit Search(const Scope& scope) : scope_{scope} {}
    Result run();
    /// The sequence that is being tried, in words.
    std::string story_so_far();
    std::size_t transitions() const { return result_.transitions; }

   private:
    const Scope& scope_;
    World world_;
    std::vector<Step> steps_;
    std::uint32_t at_ = 0;  ///< the sequence that the state belongs to; 0: the beginning
    Operation next_{};
    Result result_;

    void told(const std::string& what);
};

Search* current;

/// The function under test has ended the process, or does not end.
void on_signal(int signal) {
    static std::size_t seen;
    if (current == nullptr) return;
    if (signal == SIGVTALRM && seen != current->transitions()) {
        seen = current->transitions();
        return;
    }
    Search& search = *current;
    current = nullptr;
    const std::string story =
        search.story_so_far() + (signal == SIGVTALRM ? "the last step does not come to an end\n"
                                                     : "the last step ends in a crash\n");
    [[maybe_unused]] const auto written = write(2, story.data(), story.size());
    std::signal(signal, SIG_DFL);
    std::signal(SIGABRT, SIG_DFL);
    if (signal == SIGVTALRM) std::abort();
    raise(signal);
}

std::string Search::story_so_far() {
    std::vector<Operation> path{next_};
    for (std::uint32_t i = at_; i != 0; i = steps_[i].before) path.push_back(steps_[i].operation);
    std::ranges::reverse(path);
    std::string story = "the shortest sequence that shows it:\n";
    world_.begin(scope_.scene);
    for (std::size_t i = 0; i < path.size(); ++i) {
        story += " " + std::to_string(i + 1) + ". " + world_.words(path[i]) + "\n";
        if (i + 1 < path.size()) world_.run(path[i]);
    }
    return story;
}

void Search::told(const std::string& what) {
    // Of the world's differences nothing is left once the story is told.
    const std::string end = "then\n" + what;
    result_.story = story_so_far() + end;
}

Result Search::run() {
    const bool has_gifts = std::ranges::find(scope_.texts, Text::WithGift) != scope_.texts.end();
    std::unordered_set<Key, KeyHash> seen;
    std::vector<World::Image> layer(1), below;
    std::vector<std::uint32_t> numbers{0}, numbers_below;
    steps_.push_back({});
    world_.begin(scope_.scene);
    world_.save(layer[0]);
    seen.insert(key_of(world_.state(), has_gifts));
    result_.states = 1;
    for (; !layer.empty(); ++result_.depth) {
        for (std::size_t i = 0; i < layer.size(); ++i) {
            at_ = numbers[i];
            const Steps steps{scope_, layer[i].state};
            for (const Operation& operation : steps.all()) {
                if (result_.transitions == scope_.most_transitions) return result_;
                world_.put_back(layer[i]);
                next_ = operation;
                ++result_.transitions;
                if (!world_.run(operation)) {
                    told(world_.differences());
                    return result_;
                }
                if (!seen.insert(key_of(world_.state(), has_gifts)).second) continue;
                if (const char* const broken = broken_invariant(world_.state())) {
                    told(std::string{"  "} + broken + "\n");
                    return result_;
                }
                ++result_.states;
                steps_.push_back({at_, operation});
                numbers_below.push_back(static_cast<std::uint32_t>(steps_.size() - 1));
                world_.save(below.emplace_back());
            }
            layer[i].bytes = {};  // needed no more
        }
        layer = std::exchange(below, {});
        numbers = std::exchange(numbers_below, {});
    }
    result_.is_complete = true;
    return result_;
}

}  // namespace

Result search(const Scope& scope) {
    Search one{scope};
    current = &one;
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGVTALRM})
        std::signal(signal, on_signal);
    const itimerval each_second{.it_interval = {1, 0}, .it_value = {1, 0}};
    setitimer(ITIMER_VIRTUAL, &each_second, nullptr);
    Result result = one.run();
    current = nullptr;
    return result;
}

}  // namespace lab::exhaustive
