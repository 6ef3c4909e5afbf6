// SPDX-License-Identifier: MIT
// What clang-tidy sees in GoogleTest's place: its words, and nothing behind them. Of GoogleTest's
// own macros and templates it would look at a hundred lines for each line of a test. Nothing here
// is compiled into anything.
//
// A macro of GoogleTest that a test uses for the first time is added here.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace testing {

bool unknown();
// Whatever has a type without linkage can be used in a function only that has a body.
template <typename T>
const T* unknown() {
    return nullptr;
}

class Message {
   public:
    template <typename T>
    Message& operator<<(const T&) {
        return *this;
    }
    Message& operator<<(std::ostream& (*manipulator)(std::ostream&));
    std::string GetString() const;
};

// `return Fatal() = Message() << ...` is how a failed ASSERT_ leaves a function that returns
// nothing.
class Fatal {
   public:
    void operator=(const Message& message) const;
};

class AssertionResult {
   public:
    template <typename T>
    AssertionResult& operator<<(const T&) {
        return *this;
    }
    explicit operator bool() const;
    AssertionResult operator!() const;
    const char* message() const;
};
AssertionResult AssertionSuccess();
AssertionResult AssertionFailure();

template <typename T>
std::string PrintToString(const T&) {
    return {};
}

class Test {
   public:
    virtual ~Test();
    static bool HasFailure();
    template <typename T>
    static void RecordProperty(const std::string& key, const T& value);

   protected:
    virtual void SetUp();
    virtual void TearDown();

   private:
    virtual void TestBody() = 0;
};

template <typename T>
class TestWithParam : public Test {
   public:
    using ParamType = T;
    static const T& GetParam() {
        static const T* const given = unknown<T>();
        return *given;
    }
};

template <typename T>
struct TestParamInfo {
    T param;
    std::size_t index;
};

template <typename First, typename... Rest>
struct Types {
    using Head = First;
};

template <typename... T>
void use(const T&...) {}
template <typename... T>
int Values(const T&...) {
    return 0;
}
template <typename Container>
int ValuesIn(const Container&) {
    return 0;
}

class ExitedWithCode {
   public:
    explicit ExitedWithCode(int code);
};

class TestPartResult {
   public:
    bool passed() const;
    bool failed() const;
    const char* file_name() const;
    int line_number() const;
    const char* message() const;
};

class TestResult {
   public:
    bool Passed() const;
    bool Failed() const;
    int total_part_count() const;
};

class TestInfo {
   public:
    const char* test_suite_name() const;
    const char* name() const;
    const TestResult* result() const;
};

class UnitTest;
class TestEventListener {
   public:
    virtual ~TestEventListener();
};
class EmptyTestEventListener : public TestEventListener {
   public:
    virtual void OnTestProgramStart(const UnitTest& unit_test);
    virtual void OnTestStart(const TestInfo& test_info);
    virtual void OnTestPartResult(const TestPartResult& result);
    virtual void OnTestEnd(const TestInfo& test_info);
    virtual void OnTestProgramEnd(const UnitTest& unit_test);
};
class TestEventListeners {
   public:
    void Append(TestEventListener* listener);
    TestEventListener* Release(TestEventListener* listener);
    TestEventListener* default_result_printer() const;
};
class UnitTest {
   public:
    static UnitTest* GetInstance();
    TestEventListeners& listeners();
    const TestInfo* current_test_info() const;
    bool Passed() const;
    int failed_test_count() const;
    int test_to_run_count() const;
    int successful_test_count() const;
    int skipped_test_count() const;
};

void InitGoogleTest(int* argc, char** argv);
void InitGoogleTest();

}  // namespace testing

int RUN_ALL_TESTS();

#define NEST_EXPECT(condition)        \
    if (static_cast<bool>(condition)) \
        ;                             \
    else                              \
        ::testing::Message()
#define NEST_ASSERT(condition)        \
    if (static_cast<bool>(condition)) \
        ;                             \
    else                              \
        return ::testing::Fatal() = ::testing::Message()

#define EXPECT_TRUE(condition) NEST_EXPECT(condition)
#define EXPECT_FALSE(condition) NEST_EXPECT(!(condition))
#define EXPECT_EQ(a, b) NEST_EXPECT((a) == (b))
#define EXPECT_NE(a, b) NEST_EXPECT((a) != (b))
#define EXPECT_LT(a, b) NEST_EXPECT((a) < (b))
#define EXPECT_LE(a, b) NEST_EXPECT((a) <= (b))
#define EXPECT_GT(a, b) NEST_EXPECT((a) > (b))
#define EXPECT_GE(a, b) NEST_EXPECT((a) >= (b))
#define EXPECT_STREQ(a, b) NEST_EXPECT(std::string(a) == std::string(b))
#define EXPECT_STRNE(a, b) NEST_EXPECT(std::string(a) != std::string(b))
#define ASSERT_TRUE(condition) NEST_ASSERT(condition)
#define ASSERT_FALSE(condition) NEST_ASSERT(!(condition))
#define ASSERT_EQ(a, b) NEST_ASSERT((a) == (b))
#define ASSERT_NE(a, b) NEST_ASSERT((a) != (b))
#define ASSERT_LT(a, b) NEST_ASSERT((a) < (b))
#define ASSERT_LE(a, b) NEST_ASSERT((a) <= (b))
#define ASSERT_GT(a, b) NEST_ASSERT((a) > (b))
#define ASSERT_GE(a, b) NEST_ASSERT((a) >= (b))
#define ADD_FAILURE() ::testing::Message()
#define FAIL() return ::testing::Fatal() = ::testing::Message()
#define GTEST_AMBIGUOUS_ELSE_BLOCKER_
#define SCOPED_TRACE(message) ::testing::use(message)

#define EXPECT_DEATH(statement, words) \
    if (::testing::unknown()) {        \
        statement;                     \
    } else                             \
        ::testing::Message() << (words)
#define EXPECT_EXIT(statement, how, words) \
    if (::testing::unknown()) {            \
        statement;                         \
    } else                                 \
        ::testing::Message() << (words)

#define NEST_TEST(suite, name, base)            \
    class suite##_##name##_Test : public base { \
        void TestBody() override;               \
    };                                          \
    void suite##_##name##_Test::TestBody()
#define TEST(suite, name) NEST_TEST(suite, name, ::testing::Test)
#define TEST_F(fixture, name) NEST_TEST(fixture, name, fixture)
#define TEST_P(fixture, name) NEST_TEST(fixture, name, fixture)

#define TYPED_TEST_SUITE(fixture, types, ...) using fixture##_types = types
// What uses the template before its body stands there is instantiated at the end of the file.
#define TYPED_TEST(fixture, name)                                    \
    template <typename T>                                            \
    class fixture##_##name##_Test : public fixture<T> {              \
       public:                                                       \
        using TypeParam = T;                                         \
        using TestFixture = fixture<T>;                              \
        void TestBody() override;                                    \
    };                                                               \
    inline void use_##fixture##_##name() {                           \
        fixture##_##name##_Test<fixture##_types::Head>().TestBody(); \
    }                                                                \
    template <typename T>                                            \
    void fixture##_##name##_Test<T>::TestBody()

#define INSTANTIATE_TEST_SUITE_P(prefix, fixture, ...) \
    inline void use_##prefix##_##fixture() {           \
        ::testing::use(__VA_ARGS__);                   \
    }                                                  \
    static_assert(true)
