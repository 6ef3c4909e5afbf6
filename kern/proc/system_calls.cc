// SPDX-License-Identifier: MIT
// What a program may ask of the kernel: one function a call, and a table of them.
#include <algorithm>
#include <array>
#include <concepts>
#include <cstring>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "kern/arch/arch.hh"
#include "kern/arch/user.hh"
#include "kern/lib/print.hh"
#include "kern/proc/environments.hh"
#include "kern/proc/syscall_numbers.hh"
#include "kern/proc/system_calls.hh"

namespace kern {
namespace {

using syscall::Failure;
using syscall::Number;
using Result = SystemCallResult;

/// A text or buffer of a program that nobody has looked at yet.
struct UserRange {
    Uva address;
    std::uint64_t size;
};

/// A copy of a program's bytes, on the kernel's side. One at a time: the lock is held.
constinit std::array<char, syscall::longest_write> copied{};

/// The system calls of another room.
constinit std::span<const SystemCallHandler> extension{};

Result done(const std::expected<void, Error>& outcome) {
    if (!outcome) return std::unexpected{failure_of(outcome.error())};
    return 0;
}

/// The text in `range`, copied to `buffer`.
std::expected<std::string_view, Failure> copy_text(const Env& env, UserRange range,
                                                   std::span<char> buffer) {
    if (range.size > buffer.size()) return std::unexpected{Failure::invalid_argument};
    const auto bytes = std::as_writable_bytes(buffer.first(range.size));
    if (!env.space->copy_from_user(bytes, range.address))
        return std::unexpected{Failure::bad_address};
    return std::string_view{buffer.data(), range.size};
}

std::expected<Rights, Failure> rights_of(std::uint64_t rights) {
    using namespace syscall;
    if ((rights & ~(right_read | right_write | right_execute)) != 0 || (rights & right_read) == 0)
        return std::unexpected{Failure::invalid_argument};
    return Rights{.write = (rights & right_write) != 0, .execute = (rights & right_execute) != 0};
}

/// This CPU may remember how the page was before.
Result changed_page(Uva page, const std::expected<void, Error>& outcome) {
    if (outcome) arch::forget_translation(page);
    return done(outcome);
}

// The calls, in the order of their numbers.

Result exit(Env& env, std::uint64_t status) {
    environments.end(env, {.kind = Ending::Kind::Exited,
                           .status = static_cast<std::int64_t>(status),
                           .rip = env.frame.rip});
    return 0;
}

Result yield(Env& env) {
    if (environments.has_runnable()) {
        --environments.running;
        environments.make_runnable(env);
    }
    return 0;
}

Result console_write(Env& env, UserRange range) {
    const auto text = copy_text(env, range, copied);
    if (!text) return std::unexpected{text.error()};
    kprint("{}", *text);
    return text->size();
}

Result console_read(Env& env, UserRange range) {
    if (!env.space->allows(range.address, range.size, true))
        return std::unexpected{Failure::bad_address};
    std::uint64_t count = 0;
    for (; count < std::min<std::uint64_t>(range.size, copied.size()); ++count) {
        const int character = arch::console_read();
        if (character < 0) break;
        copied[count] = static_cast<char>(character);
    }
    const auto text = std::as_bytes(std::span{copied}.first(count));
    const auto outcome = env.space->copy_to_user(range.address, text);
    if (!outcome) return std::unexpected{failure_of(outcome.error())};
    return count;
}

Result env_id(Env& env) {
    return env.id;
}

std::expected<File, Failure> open_file(const Env& env, UserRange range) {
    std::array<char, syscall::longest_name> buffer;
    const auto name = copy_text(env, range, buffer);
    if (!name) return std::unexpected{name.error()};
    if (environments.files == nullptr) return std::unexpected{Failure::not_found};
    const auto file = environments.files->open(*name);
    if (!file) return std::unexpected{failure_of(file.error())};
    return *file;
}

Result open(Env& env, UserRange name) {
    const auto slot = std::ranges::find_if(env.files, [](const auto& file) { return !file; });
    if (slot == env.files.end()) return std::unexpected{Failure::out_of_memory};
    const auto file = open_file(env, name);
    if (!file) return std::unexpected{file.error()};
    slot->emplace(*file, 0);
    return static_cast<std::uint64_t>(slot - env.files.begin());
}

Result read(Env& env, std::uint64_t descriptor, UserRange buffer) {
    if (descriptor >= env.files.size()) return std::unexpected{Failure::not_found};
    auto& file = env.files[descriptor];
    if (!file) return std::unexpected{Failure::not_found};
    if (!env.space->allows(buffer.address, buffer.size, true))
        return std::unexpected{Failure::bad_address};
    // A piece at a time; a short answer is no error.
    const auto piece = std::as_writable_bytes(
        std::span{copied}.first(std::min<std::uint64_t>(buffer.size, copied.size())));
    const auto size = file->file.read(file->offset, piece);
    if (!size) return std::unexpected{failure_of(size.error())};
    const auto outcome = env.space->copy_to_user(buffer.address, piece.first(*size));
    if (!outcome) return std::unexpected{failure_of(outcome.error())};
    file->offset += *size;
    return *size;
}

Result page_alloc(Env& env, Uva address, std::uint64_t wanted) {
    const auto rights = rights_of(wanted);
    if (!rights) return std::unexpected{rights.error()};
    return changed_page(address, env.space->renew_page(address, *rights));
}

Result page_map(Env& env, Uva from, Uva to, std::uint64_t wanted) {
    const auto rights = rights_of(wanted);
    if (!rights) return std::unexpected{rights.error()};
    return changed_page(to, env.space->share_page(to, *env.space, from, *rights));
}

Result page_unmap(Env& env, Uva address) {
    const auto outcome = env.space->unmap_page(address);
    if (!outcome && outcome.error() == Error::NotFound) return 0;
    return changed_page(address, outcome);
}

Result ipc_try_send(Env& env, std::uint64_t to, std::uint64_t value, Uva page,
                    std::uint64_t wanted) {
    Env* const target = to < ~EnvId{} ? environments.find(static_cast<EnvId>(to)) : nullptr;
    if (target == nullptr || target->state == Env::State::Ended)
        return std::unexpected{Failure::not_found};
    if (target->state != Env::State::Receiving) return std::unexpected{Failure::busy};
    std::uint64_t given = 0;
    if (page != Uva{}) {
        const auto rights = rights_of(wanted);
        if (!rights) return std::unexpected{rights.error()};
        if (!env.space->find(page)) return std::unexpected{Failure::bad_address};
        if (target->receive_at != Uva{}) {
            // It is on no CPU, so no CPU remembers its pages.
            const auto shared =
                target->space->share_page(target->receive_at, *env.space, page, *rights);
            if (!shared) return done(shared);
            given = wanted;
        }
    }
    target->frame.rax = env.id;
    target->frame.rdx = value;
    target->frame.r8 = given;
    environments.make_runnable(*target);
    return 0;
}

Result ipc_receive(Env& env, Uva page) {
    if (page != Uva{} &&
        (!page.is_aligned() || page < user_layout::begin || page >= user_layout::end))
        return std::unexpected{Failure::invalid_argument};
    env.receive_at = page;
    env.state = Env::State::Receiving;
    --environments.running;
    return 0;
}

Result spawn(Env& env, UserRange name, UserRange arguments) {
    const auto file = open_file(env, name);
    if (!file) return std::unexpected{file.error()};
    std::array<char, syscall::longest_arguments> argument_buffer;
    const auto argument_text = copy_text(env, arguments, argument_buffer);
    if (!argument_text) return std::unexpected{argument_text.error()};
    std::array<char, syscall::longest_name> name_buffer;
    const auto name_text = copy_text(env, name, name_buffer);
    if (!name_text) return std::unexpected{name_text.error()};
    const auto id = start_program_locked(FilePeeker{*file},
                                         {.name = *name_text, .arguments = *argument_text}, env.id);
    if (!id)
        return std::unexpected{id.error() == Error::Busy ? Failure::out_of_memory
                                                         : failure_of(id.error())};
    return *id;
}

Result parent_id(Env& env) {
    return env.parent;
}

Result find_env(Env& env, UserRange range) {
    std::array<char, syscall::longest_name> buffer;
    const auto name = copy_text(env, range, buffer);
    if (!name) return std::unexpected{name.error()};
    const Env* const found = environments.find(*name);
    if (found == nullptr) return std::unexpected{Failure::not_found};
    return found->id;
}

Result seek(Env& env, std::uint64_t descriptor, std::uint64_t offset) {
    if (descriptor >= env.files.size() || !env.files[descriptor])
        return std::unexpected{Failure::not_found};
    env.files[descriptor]->offset = offset;
    return 0;
}

Result wait(Env& env, std::uint64_t program) {
    if (program > ~EnvId{}) return std::unexpected{Failure::not_found};
    const auto id = static_cast<EnvId>(program);
    if (id == env.id) return std::unexpected{Failure::invalid_argument};
    const Env* const target = environments.find(id);
    if (target != nullptr && target->state != Env::State::Ended) {
        env.waits_for = id;
        env.state = Env::State::Waiting;
        --environments.running;
        return 0;  // the answer comes with the end
    }
    const auto ending =
        target != nullptr ? std::optional{target->ending} : environments.ending_of(id);
    if (!ending) return std::unexpected{Failure::not_found};
    answer_wait(env, *ending);
    return env.frame.rax;
}

Result nothing(Env&) {
    return 0;
}

Result time(Env&) {
    return arch::nanoseconds();
}

// From a row of registers to typed arguments.

/// Takes the registers one after the other.
struct Registers {
    std::array<std::uint64_t, 5> values;
    std::size_t used = 0;
    std::uint64_t next() { return used < values.size() ? values[used++] : 0; }
};

template <class T>
T take(Registers& registers) {
    if constexpr (std::same_as<T, UserRange>) {
        const Uva address{registers.next()};
        return {address, registers.next()};
    } else {
        return T{registers.next()};
    }
}

template <class... Arguments>
Result call_with(Result (*function)(Env&, Arguments...), Env& env,
                 [[maybe_unused]] Registers registers) {
    // Braces: the arguments are taken from left to right.
    const std::tuple<Arguments...> arguments{take<Arguments>(registers)...};
    return std::apply([&](const Arguments&... each) { return function(env, each...); }, arguments);
}

using Handler = Result (*)(Env& env, const Registers& registers);
template <auto function>
constexpr Handler handler =
    [](Env& env, const Registers& registers) { return call_with(function, env, registers); };

constexpr std::array<Handler, syscall::number_count> make_table() {
    std::array<Handler, syscall::number_count> table{};
    const auto set = [&](Number number, Handler function) {
        table[std::to_underlying(number)] = function;
    };
    set(Number::exit, handler<exit>);
    set(Number::yield, handler<yield>);
    set(Number::console_write, handler<console_write>);
    set(Number::console_read, handler<console_read>);
    set(Number::env_id, handler<env_id>);
    set(Number::open, handler<open>);
    set(Number::read, handler<read>);
    set(Number::page_alloc, handler<page_alloc>);
    set(Number::page_map, handler<page_map>);
    set(Number::page_unmap, handler<page_unmap>);
    set(Number::ipc_try_send, handler<ipc_try_send>);
    set(Number::ipc_receive, handler<ipc_receive>);
    set(Number::spawn, handler<spawn>);
    set(Number::parent_id, handler<parent_id>);
    set(Number::find_env, handler<find_env>);
    set(Number::nothing, handler<nothing>);
    set(Number::time, handler<time>);
    set(Number::seek, handler<seek>);
    set(Number::wait, handler<wait>);
    return table;
}
constexpr auto table = make_table();
static_assert(std::ranges::find(table, nullptr) == table.end(), "a call has no function");

}  // namespace

syscall::Failure failure_of(Error error) {
    switch (error) {
        case Error::InvalidArgument:
        case Error::Unaligned:
        case Error::AlreadyExists:
        case Error::Overlap: return Failure::invalid_argument;
        case Error::OutOfRange: return Failure::bad_address;
        case Error::NotFound: return Failure::not_found;
        case Error::OutOfMemory: return Failure::out_of_memory;
        case Error::BadFormat:
        case Error::Truncated:
        case Error::Unsupported: return Failure::bad_format;
        case Error::Busy: return Failure::busy;
        case Error::ShortRead:
        case Error::DeviceFailure: return Failure::failed;
    }
    return Failure::failed;
}

void set_system_call_extension(std::span<const SystemCallHandler> handlers) {
    const LockGuard guard{environments.lock};
    extension = handlers;
}

void serve_system_call(Env& env) {
    const arch::TrapFrame& frame = env.frame;
    const std::uint64_t number = frame.rax;
    ++env.system_calls;
    Result result = std::unexpected{Failure::no_such_call};
    if (number < table.size())
        result = table[number](env, {{frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8}});
    else if (number >= syscall::extension_begin &&
             number - syscall::extension_begin < extension.size())
        result = extension[number - syscall::extension_begin](
            env, {frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8});
    if (environments.current() == nullptr) return;  // it has ended
    env.frame.rax =
        result ? *result : -static_cast<std::uint64_t>(std::to_underlying(result.error()));
}

}  // namespace kern
