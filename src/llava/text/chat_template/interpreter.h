// SPDX-License-Identifier: Apache-2.0
//
// Runs a parsed chat template.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/text/chat_template/arguments.h"
#include "llava/text/chat_template/budget.h"
#include "llava/text/chat_template/syntax.h"

namespace llava::text::jinja {

/// One rendering.   Threads: one thread; the program may be shared.
class Interpreter {
 public:
  using Variables = std::vector<std::pair<std::string, Value>>;

  Interpreter(const Program& program, Budget budget, const std::tm& now)
      : program_(&program), budget_(budget), now_(now) {}

  /// The text of the template with these variables.
  ///
  /// Throws: Error with the template's label and the line.
  std::string run(Variables variables);

 private:
  /// Names of one block; a block sees those around it.
  struct Scope {
    Variables variables;
    Scope* outer = nullptr;
  };
  enum class Flow { kNext, kBreak, kContinue };

  // Statements (interpreter.cc).
  static void hide(const std::vector<std::string>& names, Scope& scope);
  Flow run_block(const Block& block, Scope& scope, std::string& out);
  Flow run_statement(const Statement& statement, Scope& scope, std::string& out);
  Flow run_if(const Statement& statement, Scope& scope, std::string& out);
  Flow run_for(const Statement& statement, Scope& scope, std::string& out);
  Flow run_captured(const Statement& statement, Scope& scope, std::string& out);
  void run_set(const Statement& statement, Scope& scope);
  void run_macro_definition(const Statement& statement, Scope& scope);
  void assign(const Statement& statement, const Value& value, Scope& scope);
  void assign_target(const Target& target, const Value& value, Scope& scope);
  void write(std::string& out, std::string_view text);
  Value call_macro(const Statement& macro, const Arguments& arguments);

  // Expressions (evaluate.cc).
  Value evaluate(const Expr& expr, Scope& scope);
  Value evaluate_operation(const Expr& expr, Scope& scope);
  Value evaluate_name(const std::string& name, const Scope& scope);
  std::vector<Value> evaluate_all(const std::vector<ExprPtr>& exprs, Scope& scope);
  Value evaluate_dict(const Expr& expr, Scope& scope);
  Value evaluate_item(const Expr& expr, Scope& scope);
  Value evaluate_compare(const Expr& expr, Scope& scope);
  Value evaluate_concat(const Expr& expr, Scope& scope);
  Value evaluate_call(const Expr& expr, Scope& scope);
  Arguments evaluate_arguments(const Expr& expr, Scope& scope);
  /// The filters of a block around its text.
  Value filter_text(const Expr& filter, Value text, Scope& scope);

  const Program* program_;
  Budget budget_;
  std::tm now_;
  Scope global_;
  int line_ = 1;
  int depth_ = 0;
};

/// Gives a name its value; a value it had is replaced.
void set_variable(Interpreter::Variables& variables, std::string_view name, Value value);

}  // namespace llava::text::jinja
