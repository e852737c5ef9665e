// Package mlog stands in for a logging module that not every module proxy serves: as much of it as the programs use that are
// built here. What they log goes to standard error.
package mlog

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

type (
	// LogLevel is the word for how much is logged.
	LogLevel string
	// LogFormat is the word for how it looks; there is one look here.
	LogFormat string
	// LogSpec is both.
	LogSpec struct {
		Level  LogLevel
		Format LogFormat
	}
)

// Levels and formats.
const (
	LevelWarning LogLevel = ""
	LevelInfo    LogLevel = "info"
	LevelDebug   LogLevel = "debug"
	LevelTrace   LogLevel = "trace"
	LevelAll     LogLevel = "all"

	FormatJSON LogFormat = "json"
	FormatText LogFormat = "text"
)

// Logger writes lines that begin alike.
type Logger struct{ begin string }

// New is a Logger whose lines begin with nothing.
func New() Logger { return Logger{} }

// WithName begins lines with a name.
func (l Logger) WithName(name string) Logger { return Logger{l.begin + name + ": "} }

// WithValues begins lines with names and values.
func (l Logger) WithValues(values ...any) Logger { return Logger{l.begin + text(values) + " "} }

// Info writes a line.
func (l Logger) Info(message string, values ...any) { write("info", l.begin+message, values) }

// Debug writes nothing.
func (Logger) Debug(string, ...any) {}

// Warning writes a line.
func (l Logger) Warning(message string, values ...any) { write("warning", l.begin+message, values) }

// Error writes a line.
func (l Logger) Error(message string, err error, values ...any) {
	write("error", l.begin+message, append([]any{"error", err}, values...))
}

// Info writes a line.
func Info(message string, values ...any) { New().Info(message, values...) }

// Debug writes nothing.
func Debug(string, ...any) {}

// Warning writes a line.
func Warning(message string, values ...any) { New().Warning(message, values...) }

// Error writes a line.
func Error(message string, err error, values ...any) { New().Error(message, err, values...) }

// Fatal writes a line and ends the process.
func Fatal(err error) {
	New().Error("fatal", err)
	os.Exit(1)
}

// Setup gives what is to be done at the end.
func Setup() func() { return func() {} }

// Enabled is whether lines of a level are written.
func Enabled(level LogLevel) bool { return level == LevelWarning || level == LevelInfo }

// Logr is the same for another library.
func Logr() logr.Logger {
	return funcr.New(func(begin, message string) { write("info", begin+" "+message, nil) }, funcr.Options{})
}

// ValidateAndSetLogLevelAndFormatGlobally changes nothing.
func ValidateAndSetLogLevelAndFormatGlobally(context.Context, LogSpec) error { return nil }

// ValidateAndSetKlogLevelAndFormatGlobally changes nothing.
func ValidateAndSetKlogLevelAndFormatGlobally(context.Context, any, LogFormat) error { return nil }

func write(level, message string, values []any) {
	fmt.Fprintln(os.Stderr, level, message, text(values))
}

func text(values []any) string { return strings.TrimSuffix(fmt.Sprintln(values...), "\n") }
