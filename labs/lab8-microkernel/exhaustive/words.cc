// SPDX-License-Identifier: MIT
// Steps and names in words.
#include "world.hh"

namespace lab::exhaustive {
namespace {

std::string rights_in_words(Rights rights) {
    std::string words;
    for (const auto& [right, word] : {std::pair{1, "read"}, {2, "write"}, {4, "grant"}})
        if ((rights & right) != 0) words += (words.empty() ? "" : ", ") + std::string{word};
    return words.empty() ? "no rights" : words;
}

std::string call_name(SystemCall call) {
    static constexpr const char* names[] = {"Send",   "NBSend", "Call",      "Recv",
                                            "NBRecv", "Reply",  "ReplyRecv", "Yield"};
    return names[static_cast<std::size_t>(call)];
}

std::string text_in_words(Text text) {
    switch (text) {
        case Text::Short: return "2 words";
        case Text::Long: return "6 words";
        case Text::WithGift: return "6 words and twice the capability in slot 1";
        case Text::GoOn: return "label 0";
        case Text::Fault: break;
    }
    return "its fault";
}

bool has_text(SystemCall call) {
    return call != SystemCall::Recv && call != SystemCall::NBRecv && call != SystemCall::Yield;
}

}  // namespace

std::string name_of_thread(Id thread) {
    return std::string(1, static_cast<char>('A' + thread));
}

std::string name_of_slot(Id slot) {
    static constexpr const char* of_thread[] = {"cnode", "space", "buffer", "fault_handler"};
    if (slot == memory_slot) return "the kernel's first Untyped";
    if (slot == table_cap_slot) return "the table's first capability";
    if (slot >= first_unit_slot)
        return "the slot of the CNode at byte " + std::to_string(64 * (slot - first_unit_slot - 1));
    if (slot < first_thread_slot) return "slot " + std::to_string(slot - first_table_slot + 1);
    const unsigned at = slot - first_thread_slot;
    return name_of_thread(static_cast<Id>(at / thread_slots)) + "'s slot " +
           of_thread[at % thread_slots];
}

std::string name_of(const Cap& cap) {
    const std::string of = cap.object >= first_unit && cap.object != none
                               ? " at byte " + std::to_string(64 * (cap.object - first_unit))
                               : "";
    const std::string badge = cap.value != 0 ? ", badge " + std::to_string(cap.value) : "";
    switch (cap.type) {
        case Type::Null: return "empty";
        case Type::Untyped: return "Untyped of 2^" + std::to_string(cap.bits) + " bytes" + of;
        case Type::CNode: return of.empty() ? "the table" : "CNode" + of;
        case Type::Tcb: return "TCB of " + name_of_thread(cap.object);
        case Type::Endpoint:
            return (of.empty() ? "endpoint " + std::to_string(cap.object + 1) : "endpoint" + of) +
                   ", " + rights_in_words(cap.rights) + badge;
        case Type::Notification:
            return "notification" + of + ", " + rights_in_words(cap.rights) + badge;
        default:
            return std::string{"frame"} +
                   (cap.value != 0 ? ", mapped in entry " + std::to_string(cap.value - 1) : "");
    }
}

std::string World::words(const Operation& operation) const {
    using Kind = Operation::Kind;
    const auto full = [&](Id id) {
        return id == none ? "address 0" : name_of_slot(id) + " (" + name_of(state_.cap[id]) + ")";
    };
    const std::string current = state_.running == none ? "nobody" : name_of_thread(state_.running);
    const std::string stops = operation.is_preempted ? ", and is to stop as soon as it may" : "";
    switch (operation.kind) {
        case Kind::Call: {
            const bool has_address =
                operation.call != SystemCall::Reply && operation.call != SystemCall::Yield;
            return current + ": " + call_name(operation.call) +
                   (has_address ? " by " + full(operation.slot) : "") +
                   (has_text(operation.call) ? ", " + text_in_words(operation.text) : "");
        }
        case Kind::Fault: return current + " faults";
        case Kind::Interrupt: return "an interrupt signals the notification with badge 4";
        case Kind::Suspend: return name_of_thread(operation.thread) + " is suspended";
        case Kind::Resume: return name_of_thread(operation.thread) + " is resumed";
        case Kind::Derive:
            return "from " + full(operation.slot) + " a copy is derived into " +
                   name_of_slot(operation.destination) +
                   ", rights at most: " + rights_in_words(operation.rights) +
                   (operation.badge != 0 ? ", badge " + std::to_string(operation.badge) : "");
        case Kind::Revoke:
            return "what stands below " + full(operation.slot) + " is revoked" + stops;
        case Kind::Delete: return full(operation.slot) + " is deleted" + stops;
        case Kind::Retype: break;
    }
    const Cap made{.type = operation.type, .rights = 7, .bits = operation.bits, .object = none};
    const std::string what = operation.type == Type::CNode      ? "CNode of 2 indices"
                             : operation.type == Type::Untyped  ? name_of(made)
                             : operation.type == Type::Endpoint ? "endpoint"
                                                                : "notification";
    return full(operation.slot) + ": " + std::to_string(operation.count) + " times " + what +
           " is made of it, from " + name_of_slot(operation.destination) + " on";
}

}  // namespace lab::exhaustive
