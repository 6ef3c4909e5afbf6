// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string_view>

#include "kern/arch/trap_frame.hh"
#include "kern/boot/boot_info.hh"
#include "kern/elf/peeker.hh"
#include "kern/fs/file_system.hh"
#include "kern/lib/error.hh"
#include "kern/proc/address_space.hh"
#include "kern/proc/fpu.hh"
#include "kern/proc/syscall_numbers.hh"

namespace kern {

/// Names an environment, for as long as it lives; never 0, and not soon used again.
using EnvId = std::uint32_t;

struct Env;

/// How a program ended.
struct Ending {
    /// Why.
    enum class Kind : std::uint8_t {
        NotYet,        ///< it lives
        Exited,        ///< by the system call exit, with `status`
        Faulted,       ///< by an exception: `vector`, `error_code`, `cr2`, `rip`
        LimitReached,  ///< it ran longer than run_programs allows
        Stuck,         ///< it waited for a message, and nobody was left who could send one
        Aborted,       ///< its Runner ended it, for `reason`
    };
    Kind kind = Kind::NotYet;      ///< why
    std::int64_t status = 0;       ///< of Exited
    std::uint64_t vector = 0;      ///< of Faulted, and the next ones too
    std::uint64_t error_code = 0;  ///< as the CPU pushed it; 0 if the exception has none
    std::uint64_t cr2 = 0;         ///< the address of a page fault; otherwise 0
    std::uint64_t rip = 0;         ///< the instruction where it ended
    const char* reason = "";       ///< of Aborted, in words; a constant
};

/// What an environment does in place of a program in ring 3: who inherits from this says how it
/// runs. The process layer knows no more of it than when it may run and for how long.
class Runner {
   public:
    Runner() = default;
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;
    /// What it has goes back, with the environment. The process layer's lock is held.
    virtual ~Runner() = default;

    /// Runs until `slice_end`, in nanoseconds since boot (arch::nanoseconds), or for less. Called
    /// on the CPU that the environment has got, on the kernel's stack, with interrupts disabled and
    /// without the process layer's lock; it may enable interrupts, but returns with them disabled.
    /// It may use this CPU's timer. Nobody else touches `env` meanwhile, whose only_cpu and frame
    /// it may change.
    /// @return how the environment has ended; nothing: it wants to run again
    virtual std::optional<Ending> run(Env& env, std::uint64_t slice_end) = 0;
};

/// An environment: a user program with all that belongs to it. NOVA calls it an execution context
/// (class Ec), others a process or task.
struct Env {
    /// What it is doing.
    enum class State : std::uint8_t {
        Runnable,   ///< waits for a CPU
        Running,    ///< on a CPU
        Receiving,  ///< waits in ipc_receive
        Waiting,    ///< waits for the end of another
        Unstarted,  ///< made, but not started yet
        Ended,      ///< kept for whoever looks at it
    };

    /// Its registers, as they were when it last left ring 3.
    arch::TrapFrame frame{};
    EnvId id = 0;                         ///< its identifier
    EnvId parent = 0;                     ///< of who spawned it; 0: nobody
    FixedText<32> name{};                 ///< for reports and find_env; cut
    State state = State::Runnable;        ///< what it is doing
    std::unique_ptr<AddressSpace> space;  ///< its memory; one with a runner has none
    std::optional<FpuState> fpu;          ///< its FPU registers; one with a runner has none
    /// Runs in place of a program in ring 3, if there is one.
    std::unique_ptr<Runner> runner;
    std::optional<unsigned> only_cpu;  ///< it runs on this CPU and no other; nothing: on any
    Ending ending{};                   ///< how it ended
    std::uint64_t preemptions = 0;     ///< how often a timer interrupt stopped it
    std::uint64_t switches = 0;        ///< how often it came to a CPU that another had before
    std::uint64_t system_calls = 0;    ///< how many it has made
    Uva receive_at;                    ///< in Receiving: where a page goes; 0: nowhere
    EnvId waits_for = 0;               ///< in Waiting: whose end
    /// Files it has opened, by descriptor.
    struct OpenFile {
        File file;             ///< which
        std::uint64_t offset;  ///< where the next read begins
    };
    std::array<std::optional<OpenFile>, syscall::open_files> files{};  ///< by descriptor
    bool keep = false;  ///< ends in state Ended with its memory, instead of being destroyed
    /// The plan's word for whoever serves more system calls than this room does, which does not
    /// read it; lives as long as this.
    std::string_view probe{};
    /// Called once when it has ended, before anything of it is given back. The process layer's lock
    /// is held: no call into the process layer.
    void (*on_end)(void* context, const Env& env) = nullptr;
    void* context = nullptr;  ///< for on_end
    Env* next = nullptr;      ///< in the list of those that are Runnable
};

/// What a program is started with.
struct ProgramOptions {
    std::string_view name;       ///< for reports; longer ones are cut
    std::string_view arguments;  ///< a text for the program, at most syscall::longest_arguments
    bool keep = false;           ///< see Env
    std::string_view probe{};    ///< see Env
    void (*on_end)(void* context, const Env& env) = nullptr;  ///< see Env
    void* context = nullptr;                                  ///< for on_end
};

/// The most environments at a time.
inline constexpr std::size_t max_environments = 256;

/// Makes an environment out of an ELF executable and lets it run as soon as a CPU is free: decodes
/// the headers, maps every PT_LOAD segment and the stack, and prepares the first entry. Errors: of
/// elf_decode and map_segment; Unsupported (a 32-bit program), OutOfMemory, InvalidArgument (the
/// arguments are too long), Busy (max_environments are there). After an error nothing is left.
std::expected<EnvId, Error> start_program(const Peeker& program, const ProgramOptions& options);

/// What the exercise's kernel does with the module that the boot loader left: prints the segments,
/// starts the program, or panics with "ELF error".
EnvId root_invoke(const Peeker& program, const ProgramOptions& options);

/// Runs all environments on CPUs 0 to `cpus` - 1, until none is left that lives. To be called on
/// CPU 0, while the others are idle (arch::is_idle). Those that still live after `limit`
/// nanoseconds are ended; 0 is no limit. With `interrupt_entries` an interrupt is already pending
/// each time that a program is entered, but for the entry that follows it.
void run_programs(unsigned cpus, std::uint64_t limit, bool interrupt_entries = false);

/// How many CPUs run environments now: CPUs 0 to so many less one.
unsigned program_cpus();

/// Where the system calls open, read and spawn find files; it must live as long as programs run.
/// nullptr: there are none.
void set_program_files(const FileSystem* files);

/// An environment that was kept, by its identifier; nullptr if there is none. It changes no more.
const Env* find_kept(EnvId id);
/// Gives back all that a kept environment has. Returns whether there was one.
bool destroy_kept(EnvId id);

}  // namespace kern
