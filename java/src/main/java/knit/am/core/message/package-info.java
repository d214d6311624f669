/** The contract between the event loop and the reducer: events and calls in, actions out. */
package knit.am.core.message;
