/** What is kept for containers' programs: key-value store, barriers, results, web pages. */
package knit.am.core.store;
