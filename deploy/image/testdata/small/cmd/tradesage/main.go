// Command tradesage stands for the product where only the image around it matters.
package main

func main() {}
