// SPDX-License-Identifier: MIT
// All sequences of steps from a scene, on the kernel and on a model of it, for each task of lab 8:
// 3 threads, 2 endpoints, 1 notification, 12 slots (labs/lab8-microkernel/exhaustive/).
#include "labs/lab8-microkernel/exhaustive/search.hh"
#include "labs/unit_fixture.hh"

namespace lab {
namespace {

using namespace exhaustive;  // NOLINT(google-build-using-namespace): it is what the cases are about

/// Whether both sides agree after every step; the shortest sequence after which they do not.
::testing::AssertionResult agrees(const Scope& scope, std::size_t least_transitions) {
    const Result result = search(scope);
    ::testing::Test::RecordProperty("transitions", std::to_string(result.transitions));
    ::testing::Test::RecordProperty("states", std::to_string(result.states));
    ::testing::Test::RecordProperty("depth", std::to_string(result.depth));
    ::testing::Test::RecordProperty("is_complete", result.is_complete ? "yes" : "no");
    if (!result.story.empty()) return ::testing::AssertionFailure() << result.story;
    if (result.transitions < least_transitions)
        return ::testing::AssertionFailure()
               << "only " << result.transitions << " steps were tried";
    return ::testing::AssertionSuccess();
}

using enum SystemCall;

/// Capabilities that may only send, with a badge, or only receive, and those to signal and to wait.
const std::vector<Scene::Copy> badged{{1, 2, 1}, {2, 3, 2}, {3, 2, 1}, {3, 1, 0}};

TEST(CapDeriveExhaustive, EverySequence) {
    const Scope scope{.scene = {.has_memory = true, .has_threads = true},
                      .deletes = true,
                      .copies = {7, 2, 0},
                      .badges = {1, 2}};
    EXPECT_TRUE(agrees(scope, 50'000));
}

TEST(CapRevokeExhaustive, EveryTree) {
    const Scope scope{.scene = {.has_memory = true, .has_frames = true},
                      .deletes = true,
                      .revokes = true,
                      .copies = {7},
                      .objects = {{Type::CNode, 1}, {Type::Endpoint, 0}},
                      .most_transitions = 200'000};
    EXPECT_TRUE(agrees(scope, 200'000));
}

TEST(CapRevokeExhaustive, ThreadsThatWaitAndThreadsThatDie) {
    const Scope scope{.scene = {.is_bound = true,
                                .has_handlers = true,
                                .has_threads = true,
                                .copies = {{1, 3, 1}, {7, 3, 0}, {8, 3, 0}, {9, 3, 0}}},
                      .calls = {Call, Recv, Send, Reply},
                      .faults = true,
                      .interrupts = true,
                      .deletes = true,
                      .revokes = true,
                      .most_transitions = 200'000};
    EXPECT_TRUE(agrees(scope, 100'000));
}

TEST(UntypedRetypeExhaustive, EverySequence) {
    const Scope scope{
        .scene = {.has_memory = true},
        .deletes = true,
        .revokes = true,
        .copies = {7},
        .objects = {{Type::Endpoint, 0}, {Type::CNode, 1}, {Type::Untyped, 7}, {Type::Untyped, 6}}};
    EXPECT_TRUE(agrees(scope, 100'000));
}

TEST(TransferExhaustive, EverySequence) {
    const Scope scope{.scene = {.buffers = 2, .copies = {{1, 3, 1}, {2, 5, 0}}},
                      .calls = {Send, Call, Recv, NBRecv, Reply, ReplyRecv, Yield},
                      .texts = {Text::Short, Text::Long, Text::WithGift},
                      .deletes = true};
    EXPECT_TRUE(agrees(scope, 100'000));
}

/// All system calls, by messages that the fast path does not take.
Scope slow_calls() {
    return {.scene = {.copies = badged},
            .calls = {Send, NBSend, Call, Recv, NBRecv, Reply, ReplyRecv, Yield},
            .interrupts = true};
}

TEST(IpcSendExhaustive, EverySequence) {
    Scope scope = slow_calls();
    scope.scene.has_handlers = scope.faults = true;
    scope.texts = {Text::Long, Text::WithGift};
    EXPECT_TRUE(agrees(scope, 100'000));
}

TEST(IpcRecvExhaustive, EverySequence) {
    for (const Text text : {Text::Long, Text::WithGift}) {
        Scope scope = slow_calls();
        scope.scene.is_bound = true;
        scope.texts = {text};
        EXPECT_TRUE(agrees(scope, 100'000));
    }
}

TEST(ReplyExhaustive, EverySequence) {
    const Scope scope{.scene = {.priority = {0, 0, 1},
                                .has_handlers = true,
                                .has_threads = true,
                                .copies = {{1, 3, 0}}},
                      .calls = {Call, Recv, NBRecv, Reply, ReplyRecv, Yield},
                      .texts = {Text::WithGift, Text::GoOn},
                      .faults = true,
                      .suspends = true};
    EXPECT_TRUE(agrees(scope, 15'000));
}

TEST(SignalExhaustive, EverySequence) {
    Scope scope = slow_calls();
    scope.scene.is_bound = true;
    scope.scene.priority = {1, 0, 0};
    scope.scene.copies.push_back({3, 2, 2});
    EXPECT_TRUE(agrees(scope, 100'000));
}

TEST(WaitExhaustive, EverySequence) {
    Scope scope = slow_calls();
    scope.scene.has_threads = scope.suspends = true;
    EXPECT_TRUE(agrees(scope, 100'000));
}

TEST(IpcFastpathExhaustive, AMillionSteps) {
    Scope scope = slow_calls();
    scope.scene.counts_firing = true;
    scope.scene.is_bound = true;
    scope.scene.has_handlers = scope.faults = true;
    scope.scene.priority = {0, 0, 1};
    scope.texts = {Text::Short, Text::Long};
    scope.most_transitions = 1'000'000;
    EXPECT_TRUE(agrees(scope, 1'000'000));
}

}  // namespace
}  // namespace lab
