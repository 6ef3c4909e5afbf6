// SPDX-License-Identifier: MIT
#pragma once

#include "kern/elf/peeker.hh"
#include "kern/fs/file_system.hh"
#include "kern/proc/main/plan.hh"
#include "kern/proc/main/proc_evidence.hh"

namespace kern {

/// Carries out one step of the plan, prints how it went and fills `record` for who reads the
/// evidence. Whatever the plan and the program are like, this returns; but with `root` set, a
/// program that is refused ends the machine.
/// @param files  the file system with the program; it is what the programs open files in, too
void run_step(const RunPlan& plan, const FileSystem& files, ProgramRecord& record);

/// Runs the one program of a boot module that is no file-system image, as the exercise's kernel
/// does.
void run_root_program(const Peeker& program, ProgramRecord& record);

}  // namespace kern
