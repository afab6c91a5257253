"""Thin routes: validate, call one collaborator, render."""
