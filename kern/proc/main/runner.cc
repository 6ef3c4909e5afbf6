// SPDX-License-Identifier: MIT
#include "kern/proc/main/runner.hh"

#include <algorithm>
#include <array>
#include <span>

#include "kern/arch/arch.hh"
#include "kern/arch/user.hh"
#include "kern/lib/fixed.hh"
#include "kern/lib/print.hh"
#include "kern/proc/env.hh"

namespace kern {

namespace {

constexpr std::uint64_t nanoseconds_per_ms = 1'000'000;

/// The environments of one step while they run.
struct Step {
    ProgramRecord* record;
    EnvId first = 0;  // what the record says of one environment is said of this one
};

ProgramEnd end_of(Ending::Kind kind) {
    switch (kind) {
        case Ending::Kind::NotYet: return ProgramEnd::Running;
        case Ending::Kind::Exited: return ProgramEnd::Exited;
        case Ending::Kind::Faulted: return ProgramEnd::Faulted;
        case Ending::Kind::LimitReached: return ProgramEnd::Killed;
        case Ending::Kind::Stuck: return ProgramEnd::Stuck;
        case Ending::Kind::Aborted: break;  // no step's environment has a runner
    }
    return ProgramEnd::None;
}

/// How the first environment ended.
void describe_end(ProgramRecord& record, const Env& env) {
    const Ending& ending = env.ending;
    record.status = static_cast<std::uint64_t>(ending.status);
    record.vector = ending.vector;
    record.error_code = ending.error_code;
    record.cr2 = ending.cr2;
    record.rip = ending.rip;
    record.rsp = env.frame.rsp;
    record.table_root = env.space->root().value();
    record.reason = {};
    record.end = end_of(ending.kind);
    if (record.end != ProgramEnd::Faulted) return;
    std::array<char, 160> buffer;
    copy_text(record.reason,
              arch::describe_exception(buffer, ending.vector, ending.error_code, ending.cr2));
}

/// Called by the process layer for each environment that has ended, one at a time.
void note_end(void* context, const Env& env) {
    const Step& step = *static_cast<const Step*>(context);
    ProgramRecord& record = *step.record;
    record.preemptions += env.preemptions;
    record.switches += env.switches;
    record.system_calls += env.system_calls;
    switch (env.ending.kind) {
        case Ending::Kind::NotYet: break;
        case Ending::Kind::Exited:
            ++record.exited;
            record.status_sum += static_cast<std::uint64_t>(env.ending.status);
            break;
        case Ending::Kind::Faulted: ++record.faulted; break;
        case Ending::Kind::LimitReached: ++record.killed; break;
        case Ending::Kind::Stuck: ++record.stuck; break;
        case Ending::Kind::Aborted: break;
    }
    if (env.id == step.first) describe_end(record, env);
}

void refuse(ProgramRecord& record, Error error, std::string_view words) {
    ++record.refused;
    if (record.end != ProgramEnd::None && record.end != ProgramEnd::Refused) return;
    record.end = ProgramEnd::Refused;
    record.error = static_cast<std::uint64_t>(error) + 1;
    copy_text(record.reason, words);
}

unsigned cpus_of(const RunPlan& plan) {
    const unsigned all = arch::cpu_count();
    return plan.cpus == 0 ? all : std::min(plan.cpus, all);
}

std::expected<EnvId, Error> start(const Peeker& program, const ProgramOptions& options, bool root) {
    if (root) return root_invoke(program, options);
    return start_program(program, options);
}

/// All environments of the step, once.
void run_once(const RunPlan& plan, const Peeker& program, ProgramRecord& record) {
    const std::uint64_t begin = arch::nanoseconds();
    Step step{.record = &record};
    for (unsigned i = 0; i < plan.count; ++i) {
        const ProgramOptions options{.name = plan.name,
                                     .arguments = plan.args,
                                     .keep = plan.keep,
                                     .probe = plan.probe,
                                     .on_end = note_end,
                                     .context = &step};
        ++record.environments;
        const auto started = start(program, options, plan.root);
        if (!started) {
            refuse(record, started.error(), "the program cannot be started");
        } else if (step.first == 0) {
            step.first = *started;
            record.end = ProgramEnd::Running;
        }
    }
    record.started = frames().accounts();
    const std::uint64_t ready = arch::nanoseconds();
    record.creation_nanoseconds += ready - begin;
    if (plan.has_memory) frames().fail_from(plan.memory_frames + 1);
    run_programs(cpus_of(plan), plan.limit_ms * nanoseconds_per_ms, plan.pending);
    frames().fail_from(0);
    record.run_nanoseconds += arch::nanoseconds() - ready;
    record.ended = frames().accounts();
    if (plan.keep) record.kept = step.first != 0 ? 1 : 0;
}

void print_end(const RunPlan& plan, const ProgramRecord& record) {
    const std::string_view reason{record.reason.data()};
    kprint("{}: ", plan.name);
    switch (record.end) {
        case ProgramEnd::None:
        case ProgramEnd::Running: kprint("has not ended\n"); return;
        case ProgramEnd::Refused:
            kprint("refused: {}: {} ({})\n", plan.file, reason,
                   static_cast<Error>(record.error - 1));
            return;
        case ProgramEnd::Exited: kprint("exited with 0x{:x}", record.status); break;
        case ProgramEnd::Faulted: kprint("faulted at 0x{:x}: {}", record.rip, reason); break;
        case ProgramEnd::Killed: kprint("killed after {} ms", plan.limit_ms); break;
        case ProgramEnd::Stuck: kprint("waits for a message that nobody can send"); break;
    }
    if (record.environments > 1)
        kprint("; of {}: {} exited, {} faulted, {} killed, {} stuck, {} refused",
               record.environments, record.exited, record.faulted, record.killed, record.stuck,
               record.refused);
    kprint("; {} system calls, {} switches, {} preemptions\n", record.system_calls, record.switches,
           record.preemptions);
}

void run(const RunPlan& plan, const Peeker& program, ProgramRecord& record) {
    for (unsigned i = 0; i < plan.repeat; ++i) run_once(plan, program, record);
    record.after = frames().accounts();
    print_end(plan, record);
}

}  // namespace

void run_step(const RunPlan& plan, const FileSystem& files, ProgramRecord& record) {
    copy_text(record.name, plan.name);
    record.before = frames().accounts();
    const auto file = files.open(plan.file);
    if (!file) {
        ++record.environments;
        refuse(record, file.error(), "there is no such file in the boot module");
        record.started = record.ended = record.after = record.before;
        print_end(plan, record);
        return;
    }
    run(plan, FilePeeker{*file}, record);
}

void run_root_program(const Peeker& program, ProgramRecord& record) {
    const RunPlan plan{
        .name = "root", .file = "boot module", .keep = true, .limit_ms = 0, .root = true};
    copy_text(record.name, plan.name);
    record.before = frames().accounts();
    run(plan, program, record);
}

}  // namespace kern
